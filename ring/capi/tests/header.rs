//! `include/hog.h` is what cbindgen makes of the source. `HOG_UPDATE_HEADER=1` (`just header`) writes it anew.

#![allow(clippy::unwrap_used)]

use std::path::Path;

/// In the order in which the header has them.
const SOURCES: [&str; 5] = ["outcome.rs", "value.rs", "statement.rs", "group.rs", "writer.rs"];

fn made() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let builder = cbindgen::Builder::new().with_config(config);
    let builder = SOURCES.iter().fold(builder, |builder, source| {
        builder.with_src(root.join("src").join(source))
    });
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    String::from_utf8(header).unwrap()
}

#[test]
fn the_header_is_what_the_source_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/hog.h");
    let made = made();
    if std::env::var_os("HOG_UPDATE_HEADER").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(
        found == made,
        "{} is out of date: HOG_UPDATE_HEADER=1, or `just header`",
        path.display()
    );
}

#[test]
fn every_function_and_status_of_the_source_is_in_the_header() {
    let made = made();
    for source in SOURCES {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(source)).unwrap();
        for (_, rest) in text
            .match_indices("extern \"C\" fn ")
            .map(|(at, found)| text.split_at(at + found.len()))
        {
            let name = rest.split('(').next().unwrap();
            assert!(made.contains(&format!("{name}(")), "{name}");
        }
        for (_, rest) in text
            .match_indices("pub const HOG_")
            .map(|(at, _)| text.split_at(at + "pub const ".len()))
        {
            let name = rest.split(':').next().unwrap();
            assert!(made.contains(&format!("#define {name} ")), "{name}");
        }
    }
}
