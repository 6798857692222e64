//! The page's block that is never typed by hand: what stands between two markers is replaced, the rest of the page stays.

use super::Outcome;
use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- table begin -->";
const END: &str = "<!-- table end -->";

/// Puts `table` between the markers of the page at `path`.
pub(crate) fn rewrite(path: &Path, table: &str) -> Outcome<()> {
    let page = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let markers = page.find(BEGIN).zip(page.find(END));
    let Some((begin, end)) = markers.filter(|(begin, end)| begin < end) else {
        return Err(format!("{} has no {BEGIN} before an {END}", path.display()).into());
    };
    let (before, after) = (&page[..begin + BEGIN.len()], &page[end..]);
    Ok(fs::write(path, format!("{before}\n{}\n{after}", table.trim()))?)
}
