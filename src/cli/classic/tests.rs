//! Command lines of the original, and what becomes of them.

use super::*;
use clap::CommandFactory;

fn words(line: &str) -> Vec<OsString> {
    std::iter::once("hog")
        .chain(line.split_whitespace())
        .map(OsString::from)
        .collect()
}

/// The command line of ours, and what is said of it.
fn translated(line: &str) -> Result<(String, Vec<String>), String> {
    let around = Surroundings {
        here: PathBuf::from("/here"),
        sockets: PathBuf::from("/var/tmp"),
    };
    let classic = ClassicArgs::try_parse_from(words(line)).map_err(|error| error.to_string())?;
    let Translation { arguments, notes } = classic.translate(&around)?;
    let ours: Vec<OsString> = words(&arguments.join(" "));
    Cli::understand(&ours).map_err(|refused| format!("{refused:?}"))?;
    Ok((arguments.join(" "), notes))
}

#[test]
fn the_definition_is_sound() {
    ClassicArgs::command().debug_assert();
}

#[test]
fn what_begins_with_an_option_of_the_original_is_the_original_s() {
    for line in [
        "-g web",
        "-gweb",
        "-s 10101",
        "-zg web",
        "-c -s 1",
        "--no-recovery -g web",
        "-p 1s 1MB a:1",
        "-d . -g a",
        "-m . -g a",
    ] {
        assert!(is_classic(&words(line)), "{line}");
    }
    for line in [
        "",
        "-q send -g web",
        "--help",
        "-h",
        "-V",
        "--version",
        "local -g web",
        "send -g web --to a:1",
        "--groups a",
        "-",
        "-x",
    ] {
        assert!(!is_classic(&words(line)), "{line}");
    }
}

#[test]
fn shipping_has_the_original_s_times_sizes_and_places() {
    assert_eq!(
        translated("-g web db -p 1s 1MB old:10101 new:7070"),
        Ok((
            "batchsend --batch-time 1s --batch-size 1000000 --to either://old:10101 --to either://new:7070 \
             --group web --group db --dir /here/$GROUP/data --store-dir /var/tmp"
                .to_owned(),
            vec![]
        ))
    );
    let (line, notes) = translated("-p 500 10MB a:1 -g web -d /spool/$DATE/$GROUP -m store --no-recovery -z").unwrap();
    assert_eq!(
        line,
        "batchsend --batch-time 500us --batch-size 8388608 --to either://a:1 --no-recovery --group web \
         --dir /spool/$GROUP --store-dir /here/store"
    );
    assert_eq!(notes.len(), 3, "{notes:?}");
    for time in ["1us", "1ms", "1s", "1m", "1min", "1h", "1hour", "1d", "1day"] {
        assert!(translated(&format!("-g web -p {time} 10MB a:1")).is_ok(), "{time}");
    }
}

#[test]
fn a_receiver_listens_at_its_port_and_goes_on_with_its_archive() {
    assert_eq!(
        translated("-s 10101 -d in -m store -c"),
        Ok((
            "batchrecv --listen 0.0.0.0:10101 --format hobbes --consolidate --dir /here/in --store-dir /here/store"
                .to_owned(),
            vec!["-d has no variable: archives are in /here/in/$GROUP/$DATE".to_owned(),]
        ))
    );
}

#[test]
fn archives_and_the_store_are_never_one_directory() {
    for (line, ours) in [
        (
            "-s 1",
            "batchrecv --listen 0.0.0.0:1 --format hobbes --dir /here/$GROUP/$DATE/data --store-dir /here/hogstat",
        ),
        (
            "-s 1 -d ./in/ -m in",
            "batchrecv --listen 0.0.0.0:1 --format hobbes --dir /here/in --store-dir /here/in/hogstat",
        ),
        (
            "-g web",
            "local --group web --format hobbes --dir /here/$GROUP/$DATE/data --store-dir /var/tmp",
        ),
        (
            "-g web -m .",
            "local --group web --format hobbes --socket-dir /here --dir /here/$GROUP/$DATE/data --store-dir /here/hogstat",
        ),
    ] {
        assert_eq!(translated(line).map(|(line, _)| line), Ok(ours.to_owned()), "{line}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_in_one_line() {
    for (line, said) in [
        ("-g web -p 1s 10MB", "3 values required"),
        ("-p 1s 10MB a:1", "-g <GROUP>"),
        ("-g web -p soon 10MB a:1", "-p soon: expected a time"),
        ("-g web -p 1s much a:1", "-p 1s much: expected a size"),
        ("-g web -p 1s 1MB a", "-p ... a: "),
        ("-g web -p 1s 1MB a:0", "0 is no port"),
        ("-g web -s 1", "cannot be used with"),
        ("-s 65536", "65536"),
        ("-z", "-g <GROUP>"),
        ("-g ../web", "a group is 1 to 64 of"),
        ("-g web -d /logs/$DATE", "lacks $GROUP"),
        ("-g web --bogus", "unexpected argument '--bogus'"),
        ("-s 1 --shm-dir /dev/shm", "--shm-dir has no meaning"),
    ] {
        match understand(&words(line)) {
            Err(NotRun::Refused(words)) => assert!(words.contains(said) && !words.contains('\n'), "{line}: {words}"),
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn the_socket_is_where_programs_of_the_original_look_for_it() {
    let named = |names: &[&str]| names.iter().map(OsString::from).collect::<Vec<_>>();
    let found = |names: &[&str], writable: &[&str]| {
        let place = sockets_of(named(names), |place| writable.iter().any(|one| Path::new(one) == place));
        place.display().to_string()
    };
    assert_eq!(found(&["/a", "/b"], &["/a", "/b", "/var/tmp"]), "/a");
    assert_eq!(found(&["/a", "/b"], &["/b", "/var/tmp"]), "/b");
    assert_eq!(found(&["", "/b"], &["", "/var/tmp"]), "/var/tmp");
    assert_eq!(found(&[], &[]), "/tmp");
}

#[test]
fn words_are_shown_as_a_shell_takes_them() {
    let all = ["--dir", "/a/$GROUP", "it's", ""].map(str::to_owned);
    assert_eq!(shown(&all), r"--dir '/a/$GROUP' 'it'\''s' ''");
}
