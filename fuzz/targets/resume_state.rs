//! The two copies of a resume state: eight bytes of tail, two with the first copy's length, the first copy, the second. The first is also judged with its
//! CRC put right, and both.

use super::{split, take};
use hog_ring::limits::STATE_MAX;
use hog_ring::state::choose;

pub(crate) fn judge(bytes: &[u8]) {
    let (tail, rest) = take::<8>(bytes);
    let (len, rest) = take::<2>(rest);
    let tail = u64::from_le_bytes(tail);
    let (first, second) = split(rest, usize::from(u16::from_le_bytes(len)));
    let (mended, other) = (mend(first), mend(second));
    for copies in [[first, second], [&mended, second], [&mended, &other], [&other, &mended]] {
        let Some(choice) = choose(copies, tail) else { continue };
        assert!(choice.tail <= tail && choice.tail > 0 && choice.state.len() <= STATE_MAX);
        let chosen = copies[choice.copy];
        assert_eq!(chosen[16..16 + choice.state.len()], choice.state[..]);
        assert_eq!(mend(chosen), chosen, "its CRC is not that of its bytes");
        // The other one does not hold, or not more than this one.
        let alone = if choice.copy == 0 {
            [&[], copies[1]]
        } else {
            [copies[0], &[]]
        };
        assert!(choose(alone, tail).is_none_or(|other| other.tail <= choice.tail));
    }
}

fn mend(copy: &[u8]) -> Vec<u8> {
    let mut copy = copy.to_vec();
    let len = copy
        .get(4..8)
        .map_or(0, |len| u32::from_le_bytes(len.try_into().unwrap()) as usize);
    if let Some(checked) = copy.get(4..16_usize.saturating_add(len)) {
        let crc = crc32c::crc32c(checked);
        copy[..4].copy_from_slice(&crc.to_le_bytes());
    }
    copy
}
