//! What hog does with input that is bad: it names the thing and the reason in one line on stderr, ends with the status of its cause, loses
//! nothing, and leaves nothing half made.

mod command_line;
mod enemies;
mod floods;
mod mounts;
mod peers;
mod places;
mod pretenders;
mod rings;
