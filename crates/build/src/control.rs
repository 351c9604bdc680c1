//! Fields as Debian writes them (`Name: value`, continuation lines start with a blank), in the order of the file.

/// One paragraph of fields. Names are compared without case; values keep their continuation lines with the leading
/// blank, as dpkg's status file wants them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Paragraph(Vec<(String, String)>);

impl Paragraph {
    /// Reads the first paragraph of `text`. A line that is neither a field nor a continuation is dropped.
    pub(crate) fn parse(text: &str) -> Paragraph {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            if line.trim().is_empty() {
                if fields.is_empty() {
                    continue;
                }
                break;
            }
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push('\n');
                    value.push_str(line);
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.to_owned(), value.trim().to_owned()));
            }
        }
        Paragraph(fields)
    }

    /// All paragraphs of `text`.
    pub(crate) fn parse_all(text: &str) -> Vec<Paragraph> {
        text.split("\n\n").map(Paragraph::parse).filter(|p| !p.0.is_empty()).collect()
    }

    /// A field's value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Sets a field, at its place if it is there, else at the end.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.0.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some(field) => field.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// The text, with a blank line at the end.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            text.push_str(name);
            text.push(':');
            if !value.starts_with('\n') {
                text.push(' ');
            }
            text.push_str(value);
            text.push('\n');
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_order_and_continuations() {
        let text = "Package: a\nDescription: short\n long\n .\n more\nConffiles:\n /etc/a 00\n\n";
        let mut paragraph = Paragraph::parse(text);
        assert_eq!(paragraph.get("description"), Some("short\n long\n .\n more"));
        assert_eq!(paragraph.get("Conffiles"), Some("\n /etc/a 00"));
        assert_eq!(paragraph.to_text(), text);
        paragraph.set("PACKAGE", "b");
        assert_eq!(paragraph.get("Package"), Some("b"));
        assert_eq!(Paragraph::parse_all(&format!("{text}Package: c\n")).len(), 2);
    }
}
