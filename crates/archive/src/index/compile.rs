//! Making a compiled index from `Packages` files.

use std::collections::HashMap;

use super::{HEADER, MAGIC, RECORD, VERSION};
use crate::digest::Sha256;
use crate::relation;
use crate::transport::is_plain_path;
use crate::version;

/// Compiles the files of one suite, in the order in which apt would read them, for `arch` and `all`.
///
/// Returns the index, its sorted list of package names, one a line, and what people search in (see [`crate::search`]).
/// Paragraphs that lack a field we need, or name an
/// impossible path or version, are an error: a signed index has none.
pub(crate) fn compile(texts: &[&str], arch: &str, made_from: Sha256) -> Result<Compiled, String> {
    let mut c = Compiler { arch, ..Compiler::default() };
    c.string("");
    for text in texts {
        for paragraph in paragraphs(text) {
            c.paragraph(paragraph)?;
        }
    }
    Ok(c.finish(made_from))
}

/// What [`compile`] makes.
pub(crate) struct Compiled {
    /// The index.
    pub(crate) index: Vec<u8>,
    /// The package names, sorted, one a line.
    pub(crate) names: String,
    /// One line about each package, sorted by name: see [`crate::search`].
    pub(crate) about: String,
}

/// The paragraphs of a file: what stands between empty lines.
fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").map(|p| p.trim_matches('\n')).filter(|p| !p.is_empty())
}

/// The value of a field that may go over several lines, as it stands in the text.
fn value<'a>(text: &'a str, lines: &[&'a str]) -> &'a str {
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return "" };
    let start = first.as_ptr() as usize - text.as_ptr() as usize;
    let end = last.as_ptr() as usize - text.as_ptr() as usize + last.len();
    text.get(start..end).unwrap_or(first).trim()
}

#[derive(Default)]
struct Compiler<'a> {
    arch: &'a str,
    text: Vec<u8>,
    /// Short strings that occur often, by their offset.
    interned: HashMap<&'a str, u32>,
    records: Vec<(&'a str, &'a str, [u8; RECORD])>,
    /// Provided name, provider (name and version), provided version.
    provides: Vec<(&'a str, &'a str, &'a str, &'a str)>,
    ranks: HashMap<&'a str, u32>,
    next_rank: u32,
    /// Name, version, installed size in KiB, size, first line of the description.
    about: Vec<(&'a str, &'a str, u64, u64, &'a str)>,
}

impl<'a> Compiler<'a> {
    fn string(&mut self, s: &str) -> u32 {
        if s.is_empty() && !self.text.is_empty() {
            return 0;
        }
        let at = self.text.len() as u32;
        self.text.extend((s.len() as u32).to_le_bytes());
        self.text.extend(s.as_bytes());
        at
    }

    fn interned(&mut self, s: &'a str) -> u32 {
        if let Some(&at) = self.interned.get(s) {
            return at;
        }
        let at = self.string(s);
        self.interned.insert(s, at);
        at
    }

    fn paragraph(&mut self, text: &'a str) -> Result<(), String> {
        let parsed =
            deb822_fast::borrowed::parse_borrowed(text).map_err(|e| format!("a paragraph cannot be read: {e}"))?;
        let Some(p) = parsed.first() else { return Ok(()) };
        let mut f = Fields::default();
        for field in p.iter() {
            f.set(field.name(), value(text, field.lines()));
        }
        let name = f.package;
        if name.is_empty() {
            return Err("a paragraph has no Package".to_owned());
        }
        if !version::is_valid(f.version) {
            return Err(format!("the version `{}` of {name} is none", f.version));
        }
        if !is_plain_path(f.filename) {
            return Err(format!("the Filename `{}` of {name} is not a path below the mirror", f.filename));
        }
        let sha256 = Sha256::parse(f.sha256).ok_or_else(|| format!("{name} has no SHA256"))?;
        let size: u64 = f.size.parse().map_err(|_| format!("{name} has no Size"))?;
        if f.architecture != self.arch && f.architecture != "all" {
            return Ok(());
        }
        self.mention_all(&f);
        let summary = f.description.lines().next().unwrap_or_default();
        self.about.push((name, f.version, f.installed_size.parse().unwrap_or(0), size, summary));

        let mut record = [0u8; RECORD];
        let strings = [
            self.interned(name),
            self.interned(f.version),
            self.interned(f.architecture),
            self.string(f.pre_depends),
            self.string(f.depends),
            self.string(f.conflicts),
            self.string(f.breaks),
            self.string(f.recommends),
            self.string(f.filename),
        ];
        for (slot, offset) in record.chunks_exact_mut(4).zip(strings) {
            slot.copy_from_slice(&offset.to_le_bytes());
        }
        record[36..44].copy_from_slice(&size.to_le_bytes());
        record[44..76].copy_from_slice(&sha256.0);
        record[76..80].copy_from_slice(&f.flags().to_le_bytes());
        self.records.push((name, f.version, record));
        for group in relation::parse(f.provides, self.arch) {
            for r in group {
                let version = match r.version {
                    None => "",
                    Some((relation::Op::Equal, v)) => v,
                    // Policy knows no other; apt ignores such an entry too.
                    Some(_) => continue,
                };
                self.provides.push((r.name, name, f.version, version));
            }
        }
        Ok(())
    }

    /// Notes the names in the order in which apt meets them: it breaks ties between providers by that order.
    fn mention_all(&mut self, f: &Fields<'a>) {
        self.mention(f.package);
        let fields = [
            f.pre_depends,
            f.depends,
            f.conflicts,
            f.breaks,
            f.recommends,
            f.suggests,
            f.replaces,
            f.enhances,
            f.provides,
        ];
        for field in fields.into_iter().filter(|f| !f.is_empty()) {
            for r in relation::parse(field, self.arch).into_iter().flatten() {
                // `c:any` is a name of its own to apt.
                if r.qualifier.is_none() {
                    self.mention(r.name);
                }
            }
        }
    }

    fn mention(&mut self, name: &'a str) {
        if !self.ranks.contains_key(name) {
            self.ranks.insert(name, self.next_rank);
            self.next_rank += 1;
        }
    }

    /// One line about the newest version of each package.
    fn about(&mut self) -> String {
        let mut about = std::mem::take(&mut self.about);
        about.sort_by(|a, b| a.0.cmp(b.0).then_with(|| version::compare(b.1, a.1)));
        about.dedup_by(|b, a| a.0 == b.0);
        let line = |(name, version, installed, size, summary): &(&str, &str, u64, u64, &str)| {
            crate::search::line(name, version, *installed, *size, summary)
        };
        about.iter().map(line).collect()
    }

    fn finish(mut self, made_from: Sha256) -> Compiled {
        let about = self.about();
        let mut records = std::mem::take(&mut self.records);
        // Stable: of equal versions the first one stays first.
        records.sort_by(|a, b| a.0.cmp(b.0).then_with(|| version::compare(b.1, a.1)));
        records.dedup_by(|b, a| a.0 == b.0 && a.1 == b.1);
        let mut names = String::new();
        let mut numbers = HashMap::new();
        for (i, (name, version, _)) in records.iter().enumerate() {
            numbers.insert((*name, *version), i as u32);
            if i == 0 || records[i - 1].0 != *name {
                names.push_str(name);
                names.push('\n');
            }
        }
        let mut provides: Vec<_> = std::mem::take(&mut self.provides)
            .into_iter()
            .filter_map(|(name, provider, version, provided)| {
                Some((name, *numbers.get(&(provider, version))?, provided))
            })
            .collect();
        provides.sort();
        provides.dedup();
        let mut ranks: Vec<_> = std::mem::take(&mut self.ranks).into_iter().collect();
        ranks.sort();

        let mut body = Vec::new();
        for (_, _, record) in &records {
            body.extend(record);
        }
        for (name, number, version) in &provides {
            let (name, version) = (self.interned(name), self.interned(version));
            for n in [name, *number, version] {
                body.extend(n.to_le_bytes());
            }
        }
        for (name, rank) in &ranks {
            for n in [self.interned(name), *rank] {
                body.extend(n.to_le_bytes());
            }
        }
        body.extend(&self.text);
        let mut out = Vec::with_capacity(HEADER + body.len());
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend(made_from.0);
        for count in [records.len(), provides.len(), ranks.len(), self.text.len()] {
            out.extend((count as u32).to_le_bytes());
        }
        out.extend(Sha256::of(&body).0);
        out.extend(body);
        Compiled { index: out, names, about }
    }
}

/// The fields of a paragraph that we read.
#[derive(Default)]
struct Fields<'a> {
    package: &'a str,
    version: &'a str,
    architecture: &'a str,
    pre_depends: &'a str,
    depends: &'a str,
    conflicts: &'a str,
    breaks: &'a str,
    recommends: &'a str,
    suggests: &'a str,
    replaces: &'a str,
    enhances: &'a str,
    provides: &'a str,
    filename: &'a str,
    size: &'a str,
    sha256: &'a str,
    essential: &'a str,
    protected: &'a str,
    multi_arch: &'a str,
    priority: &'a str,
    description: &'a str,
    installed_size: &'a str,
}

impl<'a> Fields<'a> {
    fn set(&mut self, name: &str, value: &'a str) {
        let slot = match name {
            "Package" => &mut self.package,
            "Version" => &mut self.version,
            "Architecture" => &mut self.architecture,
            "Pre-Depends" => &mut self.pre_depends,
            "Depends" => &mut self.depends,
            "Conflicts" => &mut self.conflicts,
            "Breaks" => &mut self.breaks,
            "Recommends" => &mut self.recommends,
            "Suggests" => &mut self.suggests,
            "Replaces" => &mut self.replaces,
            "Enhances" => &mut self.enhances,
            "Provides" => &mut self.provides,
            "Filename" => &mut self.filename,
            "Size" => &mut self.size,
            "SHA256" => &mut self.sha256,
            "Essential" => &mut self.essential,
            "Protected" | "Important" => &mut self.protected,
            "Multi-Arch" => &mut self.multi_arch,
            "Priority" => &mut self.priority,
            "Description" => &mut self.description,
            "Installed-Size" => &mut self.installed_size,
            _ => return,
        };
        *slot = value;
    }

    fn flags(&self) -> u32 {
        let multi_arch = match self.multi_arch {
            "same" => 1,
            "foreign" => 2,
            "allowed" => 3,
            _ => 0,
        };
        let priority = match self.priority {
            "required" => 1,
            "important" => 2,
            "standard" => 3,
            "optional" => 4,
            "extra" => 5,
            _ => 0,
        };
        u32::from(self.essential == "yes") | u32::from(self.protected == "yes") << 1 | multi_arch << 2 | priority << 4
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Index, MultiArch};
    use super::*;

    fn paragraph(name: &str, version: &str, more: &str) -> String {
        let digest = Sha256::of(name.as_bytes());
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\n{more}Filename: pool/{name}_{version}.deb\nSize: 12\nSHA256: {digest}\n\n"
        )
    }

    fn text() -> String {
        paragraph("b", "1", "Provides: virt (= 3), other\nPriority: optional\nMulti-Arch: same\n")
            + &paragraph("a", "1", "Depends: zz |\n virt, c:any\nEssential: yes\n")
            + &paragraph("a", "1.1", "Breaks: never\nProvides: virt\n")
    }

    fn made() -> (Vec<u8>, String) {
        let made = compile(&[&text()], "amd64", Sha256::of(b"x")).unwrap();
        (made.index, made.names)
    }

    #[test]
    fn a_compiled_index_tells_what_was_in_the_files() {
        let (bytes, names) = made();
        assert_eq!(names, "a\nb\n");
        let index = Index::load(bytes, Sha256::of(b"x")).unwrap();
        let versions: Vec<_> = index.named("a").map(|i| index.record(i).version()).collect();
        assert_eq!(versions, ["1.1", "1"]);
        assert!(index.named("c").is_empty());
        let b = index.record(index.named("b").start);
        assert_eq!((b.size(), b.multi_arch(), b.priority(), b.is_essential()), (12, MultiArch::Same, 4, false));
        assert_eq!(b.sha256(), Sha256::of(b"b"));
        assert!(index.record(index.named("a").start + 1).is_essential());
        let providers: Vec<_> = index.providers("virt").map(|(i, v)| (index.record(i).name(), v)).collect();
        assert_eq!(providers, [("a", None), ("b", Some("3"))]);
        let ranks = ["b", "virt", "other", "a", "zz", "never"].map(|n| index.rank(n).unwrap());
        assert!(ranks.is_sorted(), "{ranks:?}");
        assert_eq!(index.rank("c"), None, "c:any is another package to apt");
    }

    #[test]
    fn the_newest_version_of_each_package_has_a_line_about_it() {
        let text = text() + &paragraph("a", "2", "Description: tabs\tand\n more\nInstalled-Size: 7\n");
        let made = compile(&[&text], "amd64", Sha256::of(b"x")).unwrap();
        assert_eq!(made.about, "a\t2\t7\t12\ttabs and\nb\t1\t0\t12\t\n");
    }

    #[test]
    fn damage_and_other_sources_are_noticed() {
        let (bytes, _) = made();
        assert!(Index::load(bytes.clone(), Sha256::of(b"y")).is_none());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Index::load(damaged, Sha256::of(b"x")).is_none(), "byte {at}");
        }
        for end in [0, 10, HEADER, bytes.len() - 1] {
            assert!(Index::load(bytes[..end].to_vec(), Sha256::of(b"x")).is_none(), "cut at {end}");
        }
    }

    #[test]
    fn impossible_paragraphs_are_refused() {
        for (from, to) in [
            ("pool/a", "../a"),
            ("Size: 12", "Size: x"),
            ("Version: 1\n", "Version: x\n"),
            ("Package: a", "X: a"),
            ("SHA256: ", "SHA256: x"),
        ] {
            let text = text().replacen(from, to, 1);
            assert!(compile(&[&text], "amd64", Sha256::of(b"")).is_err(), "{to}");
        }
    }

    #[test]
    fn other_architectures_are_left_out() {
        let text = text().replacen("Architecture: amd64", "Architecture: i386", 1);
        let made = compile(&[&text], "amd64", Sha256::of(b"")).unwrap();
        assert_eq!(made.names, "a\n");
    }
}
