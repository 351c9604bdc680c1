//! What single values look like: names, paths, numbers, and the rest of Debian's small grammars.

mod names;
mod numbers;
mod paths;
mod texts;

pub(crate) use names::{
    AccountName, Architecture, Component, ObjectName, PackageName, PackageVersion, RoleName, SuiteName, SysctlName,
    UnitName, full_unit_name,
};
pub(crate) use numbers::{ByteSize, ExitStatus, HttpStatus, Id, Mode, Port, PositiveInt, Seconds, SysctlValue};
pub(crate) use paths::normal_path;
pub(crate) use paths::{AbsolutePath, Exclude, FleetPath, HomePath, KeyringPath, LinkTarget, ScrubPattern};
pub(crate) use texts::{
    Calendar, Command, CryptHash, EnvName, Hostname, Locale, MirrorUrl, OneLine, OneLineText, SshKey, Text, Timezone,
    Url,
};

use super::cx::Report;
pub(crate) use super::objects::ServerFile;

/// A string of a certain form.
pub(crate) trait Word {
    /// What comes out.
    type Out;
    /// What is wanted, with article: "a string".
    const WANTED: &'static str = "a string";
    /// The form as a regular expression for editors, where it is simple.
    const PATTERN: Option<&'static str> = None;
    /// All there is to choose from, if that is a fixed set.
    const CHOICES: &'static [&'static str] = &[];
    /// How a form shows it, if not as a line or a choice.
    const HINT: Option<super::Hint> = None;
    /// Reads it or says what is wrong.
    fn parse(text: &str) -> Result<Self::Out, Report>;
}

/// Declares words: a unit struct with its form.
macro_rules! words {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident -> $out:ty
        $(, pattern $pattern:literal)? $(, choices $choices:expr)? $(, hint $hint:expr)?
        , |$text:ident| $body:expr;
    )*) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name;

        impl $crate::read::rules::Word for $name {
            type Out = $out;
            $(const PATTERN: Option<&'static str> = Some($pattern);)?
            $(const CHOICES: &'static [&'static str] = $choices;)?
            $(const HINT: Option<$crate::read::Hint> = Some($hint);)?

            fn parse($text: &str) -> Result<$out, $crate::read::Report> {
                $body
            }
        }
    )*};
}

pub(crate) use words;
