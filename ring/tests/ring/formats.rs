//! `docs/FORMATS.md`, sections 1 to 3, against the constants of the code.

use hog_ring::layout::{self, FIELDS};
use hog_ring::limits;

const FORMATS: &str = include_str!("../../../docs/FORMATS.md");

/// The text of a section, by its number, with each run of white space made one space.
fn prose(number: u32) -> String {
    section(number).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn section(number: u32) -> &'static str {
    let begin = FORMATS.find(&format!("\n## {number}. ")).unwrap();
    let end = FORMATS.find(&format!("\n## {}. ", number + 1)).unwrap();
    &FORMATS[begin..end]
}

/// The three cells of each table row that begins with an offset.
fn rows(text: &'static str) -> Vec<[&'static str; 3]> {
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let cells = rows.filter_map(|row| {
        let mut cells = row.splitn(3, '|').map(str::trim);
        Some([cells.next()?, cells.next()?, cells.next()?])
    });
    cells
        .filter(|[first, ..]| first.starts_with(|symbol: char| symbol.is_ascii_digit()))
        .collect()
}

#[test]
fn identity_and_life_lie_where_the_document_says() {
    let (fixed, state) = section(1).split_once("**Resume state**").unwrap();
    let rows = rows(fixed);
    assert_eq!(rows.len(), FIELDS.len());
    for ([offset, size, words], field) in rows.iter().zip(FIELDS) {
        assert_eq!(
            (offset.parse(), size.parse()),
            (Ok(field.offset), Ok(field.size)),
            "{words}"
        );
        assert!(words.starts_with(field.words), "{words:?} is not {:?}", field.words);
    }
    assert!(state.contains(&format!("at most {}", limits::STATE_MAX)));
}

#[test]
fn state_copies_lie_where_the_document_says() {
    let (_, state) = section(1).split_once("**Resume state**").unwrap();
    let offsets: Vec<&str> = rows(state).iter().map(|[offset, ..]| *offset).collect();
    let expected = [
        layout::STATE_CRC,
        layout::STATE_LEN,
        layout::STATE_TAIL,
        layout::STATE_HEADER,
    ];
    assert_eq!(offsets, expected.map(|offset| offset.to_string()));
    let [first, second] = layout::STATE_COPIES;
    assert!(prose(1).contains(&format!(
        "two copies, at {first} and at {second}, each of at most {}",
        layout::STATE_AREA
    )));
}

#[test]
fn lines_of_writer_reader_and_space_lie_where_the_document_says() {
    let text = prose(1);
    for said in [
        format!("`tail` u64 at {}", layout::TAIL),
        format!(
            "records u64 at {}, bytes u64 at {}",
            layout::DROPPED_RECORDS,
            layout::DROPPED_BYTES
        ),
        format!("`head` u64 at {}", layout::HEAD),
        format!("`synced` u64 at {}", layout::SYNCED),
        format!(
            "futex word u32 at {}, `waiting` u32 at {}",
            layout::SPACE,
            layout::WAITING
        ),
        format!("`{} + capacity` bytes long", layout::HEADER_AREA),
        "a power of two, 64 KiB to 1 GiB".to_owned(),
    ] {
        assert!(text.contains(&said), "section 1 does not say: {said}");
    }
    assert_eq!((limits::CAPACITY_MIN, limits::CAPACITY_MAX), (64 << 10, 1 << 30));
}

#[test]
fn records_look_as_the_document_says() {
    let text = prose(2);
    for said in [
        format!("bits 0-{} length", layout::LENGTH_BITS - 1),
        format!("bits {}-{} kind", layout::KIND_SHIFT, layout::KIND_SHIFT + 2),
        format!("bit {} MORE", layout::MORE.trailing_zeros()),
        format!("bit {} TIME", layout::TIME.trailing_zeros()),
        format!("bit {} LAST", layout::LAST.trailing_zeros()),
        "larger than a quarter of the capacity or 256 KiB, the smaller".to_owned(),
        "A run is at most 16 MiB and 64 KiB long; a record's payload at most 16 MiB".to_owned(),
        "A definition takes at most 16 KiB".to_owned(),
    ] {
        assert!(text.contains(&said), "section 2 does not say: {said}");
    }
    assert_eq!(
        (limits::UNFRAGMENTED_MAX, limits::unfragmented_max(64 << 10)),
        (256 << 10, 16 << 10)
    );
    assert_eq!(
        (limits::RECORD_MAX, limits::RUN_MAX),
        (16 << 20, (16 << 20) + (64 << 10))
    );
    assert_eq!(limits::DEFINITION_MAX, 16 << 10);

    let kinds: Vec<_> = rows(section(2))
        .into_iter()
        .filter(|[_, name, _]| name.parse::<u32>().is_err())
        .collect();
    for (code, kind) in [
        hog_ring::Kind::Record,
        hog_ring::Kind::Stmt,
        hog_ring::Kind::Gap,
        hog_ring::Kind::Abort,
    ]
    .into_iter()
    .chain([hog_ring::Kind::Fragment])
    .enumerate()
    {
        let first = hog_ring::record::first_word(kind, 0, 0);
        let row = kinds
            .iter()
            .find(|[_, name, _]| name.eq_ignore_ascii_case(&format!("{kind:?}")))
            .unwrap();
        assert_eq!(
            (row[0].parse(), first),
            (Ok(code + 1), u32::try_from(code + 1).unwrap() << layout::KIND_SHIFT)
        );
    }
}

#[test]
fn doorbell_looks_as_the_document_says() {
    let text = prose(3);
    for said in [
        format!("{} bytes", layout::DOORBELL_LEN),
        format!("`sleeping` u32 at {}", layout::DOORBELL_SLEEPING),
        format!("futex word u32 at {}", layout::DOORBELL_FUTEX),
        format!("`changes` u64 at {}", layout::DOORBELL_CHANGES),
    ] {
        assert!(text.contains(&said), "section 3 does not say: {said}");
    }
}
