//! The environment: names, each with the place and the type of what it is bound to.
//!
//! Bindings follow one another from the beginning of an environment page on, over as many pages as it takes, up to where the page that is reached is said to
//! end. A binding that makes no sense ends its run of adjacent pages; the others are kept.

use super::damage::Damage;
use super::pages::{ENVIRONMENT_BYTES_MAX, Pages};
use super::source::{Source, append, u64_at};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Longest name, in bytes.
const NAME_MAX: usize = 64 << 10;

/// A name, and what it is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The name; hidden from readers if it begins with a dot.
    pub name: String,
    /// Where in the file.
    pub offset: u64,
    /// Its encoded type.
    pub ty: Vec<u8>,
}

/// All bindings, in their order; of those with the same name the last.
pub fn environment(source: &mut impl Source, pages: &Pages, damage: &mut Vec<Damage>) -> Vec<Binding> {
    let mut found: Vec<Binding> = Vec::new();
    let mut names = HashMap::new();
    let mut left = ENVIRONMENT_BYTES_MAX;
    let mut page = 0;
    while let Some((number, _)) = pages.environment.get(page) {
        let mut at = number * pages.page_bytes;
        loop {
            let binding = match binding(source, &mut at, &mut left) {
                Ok(binding) => binding,
                Err(error) => {
                    damage.push(error);
                    page = behind_run(pages, page);
                    break;
                }
            };
            match names.entry(binding.name.clone()) {
                Entry::Occupied(known) => found[*known.get()] = binding,
                Entry::Vacant(new) => {
                    new.insert(found.len());
                    found.push(binding);
                }
            }
            // The page that holds its last byte.
            let reached = (at - 1) / pages.page_bytes;
            let Ok(place) = pages.environment.binary_search_by_key(&reached, |(number, _)| *number) else {
                damage.push(Damage::EnvironmentEnd { page: reached });
                page = behind_run(pages, page);
                break;
            };
            page = place;
            if at == pages.environment[page].1 {
                page += 1;
                break;
            }
        }
    }
    found
}

/// The first page behind those that follow `page` without another between them.
fn behind_run(pages: &Pages, mut page: usize) -> usize {
    let numbers = |page: usize| pages.environment.get(page).map(|(number, _)| *number);
    while numbers(page + 1).is_some_and(|next| numbers(page) == Some(next - 1)) {
        page += 1;
    }
    page + 1
}

fn binding(source: &mut impl Source, at: &mut u64, left: &mut u64) -> Result<Binding, Damage> {
    let offset = u64_at(source, *at)?;
    let name_length = u64_at(source, *at + 8)?;
    let mut name = Vec::new();
    append(source, *at + 16, name_length, NAME_MAX, &mut name)?;
    let Ok(name) = String::from_utf8(name) else {
        return Err(Damage::Name { offset: *at + 16 });
    };
    let type_at = *at + 16 + name_length;
    let type_length = u64_at(source, type_at)?;
    let mut ty = Vec::new();
    append(
        source,
        type_at + 8,
        type_length,
        usize::try_from(*left).unwrap_or(0),
        &mut ty,
    )?;
    *at = type_at + 8 + type_length;
    *left = left.saturating_sub(24 + name_length + type_length);
    Ok(Binding { name, offset, ty })
}
