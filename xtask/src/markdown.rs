//! Markdown as the body of a manual page.
//!
//! A subset: headings, paragraphs, emphasis, code, links, lists and tables, as `docs/FORMATS.md` and the texts of this crate use
//! them. Anything else is refused, so that a page never lacks what its source says. Tables are for `tbl`, which `man` runs by itself.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// The source has something that is not shown in manual pages.
#[derive(Debug, thiserror::Error)]
#[error(
    "a manual page cannot show this: {0}; say it in paragraphs, lists, tables or code, or teach xtask/src/markdown.rs"
)]
pub struct Unsupported(String);

/// Separates the cells of a table; cells are text blocks, in which it means nothing.
const CELL: char = '@';

/// `source` in roff. Headings of the second level become sections, of the third subsections; one of the first is left out, for a page has
/// its name already.
///
/// # Errors
/// `source` has something outside the subset.
pub fn to_roff(source: &str) -> Result<Roff, Unsupported> {
    let mut page = Page::default();
    for event in Parser::new_ext(source, Options::ENABLE_TABLES) {
        page.take(event)?;
    }
    Ok(page.roff)
}

/// A paragraph's words, with `code` in bold.
#[must_use]
pub fn inline(words: &str) -> Vec<Inline> {
    let pieces = words.split('`').enumerate().filter(|(_, piece)| !piece.is_empty());
    pieces
        .map(|(place, piece)| if place % 2 == 0 { roman(piece) } else { bold(piece) })
        .collect()
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Font {
    #[default]
    Roman,
    Bold,
    Italic,
}

/// A page half written.
#[derive(Default)]
struct Page {
    roff: Roff,
    /// The paragraph, heading or cell that is being read.
    inlines: Vec<Inline>,
    font: Font,
    /// The lists that are open: the next number of each, or none where it has bullets.
    lists: Vec<Option<u64>>,
    /// Whether nothing stands yet below a heading: what comes next needs no macro to be a paragraph.
    section_begins: bool,
    /// Whether an item has just begun, whose tag stands before its first paragraph.
    item_begins: bool,
    /// The cells of the row that is being read.
    row: Vec<Vec<Inline>>,
}

impl Page {
    fn take(&mut self, event: Event<'_>) -> Result<(), Unsupported> {
        if !matches!(event, Event::Start(Tag::Paragraph)) && !matches!(event, Event::End(TagEnd::Heading(_))) {
            self.section_begins = false;
        }
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => {
                self.text(&text);
                Ok(())
            }
            Event::Code(code) => {
                self.inlines.push(bold(code.into_string()));
                Ok(())
            }
            Event::SoftBreak => {
                self.text("\n");
                Ok(())
            }
            other => Err(Unsupported(format!("{other:?}"))),
        }
    }

    fn start(&mut self, tag: Tag<'_>) -> Result<(), Unsupported> {
        match tag {
            Tag::Paragraph => self.begin_paragraph(),
            Tag::Heading { .. } | Tag::TableHead | Tag::TableRow | Tag::TableCell | Tag::Link { .. } => {}
            Tag::Strong => self.font = Font::Bold,
            Tag::Emphasis => self.font = Font::Italic,
            Tag::List(first) => {
                self.flush(); // the words of an item before its inner list
                if !self.lists.is_empty() {
                    self.roff.control("RS", ["4"]);
                }
                self.lists.push(first);
            }
            Tag::Item => self.begin_item(),
            Tag::CodeBlock(_) => {
                self.roff.control("PP", []).control("EX", []);
            }
            Tag::Table(columns) => {
                let before_last = columns.len().saturating_sub(1);
                // Words spread over a narrow column are hard to read.
                self.roff
                    .control("PP", [])
                    .control("ad", ["l"])
                    .control("nh", [])
                    .control("TS", []);
                self.raw(format!("tab({CELL});\n{}lb", "lb ".repeat(before_last)));
                self.raw(format!("{}lx.", "l ".repeat(before_last))); // the last column takes the room that is left
            }
            other => return Err(Unsupported(format!("{other:?}"))),
        }
        Ok(())
    }

    fn end(&mut self, tag: TagEnd) -> Result<(), Unsupported> {
        match tag {
            TagEnd::Paragraph => self.flush(),
            TagEnd::Heading(level) => return self.heading(level),
            TagEnd::Strong | TagEnd::Emphasis => self.font = Font::Roman,
            TagEnd::List(_) => {
                self.lists.pop();
                if !self.lists.is_empty() {
                    self.roff.control("RE", []);
                }
            }
            TagEnd::Item => self.flush(),
            TagEnd::CodeBlock => {
                self.flush();
                self.roff.control("EE", []);
            }
            TagEnd::TableCell => self.row.push(std::mem::take(&mut self.inlines)),
            TagEnd::TableHead | TagEnd::TableRow => self.end_row(),
            TagEnd::Table => {
                self.roff.control("TE", []).control("ad", []).control("hy", []);
            }
            _ => {}
        }
        Ok(())
    }

    fn begin_paragraph(&mut self) {
        match (self.lists.is_empty(), self.item_begins) {
            (true, _) if self.section_begins => &mut self.roff,
            (true, _) => self.roff.control("PP", []),
            (false, true) => &mut self.roff, // the item's tag is before it
            (false, false) => self.roff.control("IP", ["\"\"", "4"]),
        };
        self.item_begins = false;
        self.section_begins = false;
    }

    fn begin_item(&mut self) {
        let tag = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                format!("{}.", *number - 1)
            }
            _ => "\\(bu".to_owned(),
        };
        self.roff.control("IP", [tag.as_str(), "4"]);
        self.item_begins = true;
    }

    fn heading(&mut self, level: HeadingLevel) -> Result<(), Unsupported> {
        self.section_begins = true;
        let words: String = std::mem::take(&mut self.inlines).iter().map(plain).collect();
        match level {
            HeadingLevel::H1 => {}
            HeadingLevel::H2 => {
                self.roff.control("SH", [words.to_uppercase().as_str()]);
            }
            HeadingLevel::H3 => {
                self.roff.control("SS", [words.as_str()]);
            }
            _ => return Err(Unsupported(format!("a heading of level {level}: {words}"))),
        }
        Ok(())
    }

    fn end_row(&mut self) {
        let row = std::mem::take(&mut self.row);
        let last = row.len().saturating_sub(1);
        for (place, cell) in row.into_iter().enumerate() {
            let opening = if place == 0 {
                "T{".to_owned()
            } else {
                format!("T}}{CELL}T{{")
            };
            self.raw(opening);
            if !cell.is_empty() {
                self.roff.text(cell);
            }
            if place == last {
                self.raw("T}".to_owned());
            }
        }
    }

    /// Words in the present font. Those of the same font as the words before join them: a line's first character is looked at only
    /// within one piece.
    fn text(&mut self, words: &str) {
        match (self.font, self.inlines.last_mut()) {
            (Font::Roman, Some(Inline::Roman(before))) => before.push_str(words),
            (Font::Roman, _) => self.inlines.push(roman(words)),
            (Font::Bold, _) => self.inlines.push(bold(words)),
            (Font::Italic, _) => self.inlines.push(italic(words)),
        }
    }

    /// Ends the paragraph that is being read, if there is one.
    fn flush(&mut self) {
        if !self.inlines.is_empty() {
            self.roff.text(std::mem::take(&mut self.inlines));
        }
    }

    /// A line for `tbl`. None of those above begins with a dot or has a character that roff escapes.
    fn raw(&mut self, line: String) {
        self.roff.text([roman(line)]);
    }
}

/// The words of `inline` without its font.
fn plain(inline: &Inline) -> &str {
    match inline {
        Inline::Roman(words) | Inline::Bold(words) | Inline::Italic(words) => words,
        Inline::LineBreak => " ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> String {
        to_roff(source).unwrap().to_roff()
    }

    #[test]
    fn sections_paragraphs_and_fonts_are_shown() {
        assert_eq!(
            shown("# Name\n\n## One `two`\n\nA **b** *c*\n'quoted' `--flag`\n"),
            ".SH \"ONE TWO\"\nA \\fBb\\fR \\fIc\\fR\n\\&'quoted' \\fB\\-\\-flag\\fR\n"
        );
    }

    #[test]
    fn a_table_has_a_bold_head_and_a_wide_last_column() {
        assert_eq!(
            shown("| a | b |\n|---|---|\n| 1 | x \\| y |\n| 2 | |\n"),
            ".PP\n.ad l\n.nh\n.TS\ntab(@);\nlb lb\nl lx.\nT{\na\nT}@T{\nb\nT}\nT{\n1\nT}@T{\nx | y\nT}\nT{\n2\nT}@T{\nT}\n.TE\n.ad\n.hy\n"
        );
    }

    #[test]
    fn lists_have_bullets_or_numbers_and_may_nest() {
        assert_eq!(
            shown("- a\n  - b\n- c\n\n3. d\n4. e\n"),
            ".IP \\(bu 4\na\n.RS 4\n.IP \\(bu 4\nb\n.RE\n.IP \\(bu 4\nc\n.IP 3. 4\nd\n.IP 4. 4\ne\n"
        );
    }

    #[test]
    fn a_line_of_code_that_begins_with_a_dot_is_no_request() {
        assert_eq!(shown("```\n.x\n  'y\n```\n"), ".PP\n.EX\n\\&.x\n  'y\n\n.EE\n");
    }

    #[test]
    fn what_a_page_cannot_show_is_refused() {
        for source in [
            "> quoted\n",
            "![picture](a.png)\n",
            "<b>html</b>\n",
            "a\n\n---\n",
            "#### deep\n",
        ] {
            assert!(to_roff(source).is_err(), "{source}");
        }
    }
}
