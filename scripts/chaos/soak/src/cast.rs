//! The processes of a soak: each can be killed and started again as it was.

use crate::judge::{AllLogged, Logged};
use crate::network;
use crate::producer::{GROUP, Manner, note_path};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ENGINES: usize = 2;
const RECEIVERS: usize = 2;
/// Lines that each file grows by at once, and how often.
const GROWTH: u64 = 30;
const GROWS_EVERY: Duration = Duration::from_millis(20);
/// How long the rest may take to arrive, and a receiver to begin.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Clone, Debug)]
enum Role {
    /// On the file of this number.
    Engine(usize),
    Producer(Manner, &'static str),
    Sender,
    Receiver(usize),
}

struct Player {
    role: Role,
    child: Option<Child>,
    /// How often it was started.
    runs: u64,
}

/// All processes, and the files that grow.
pub(crate) struct Cast {
    hog: PathBuf,
    directory: TempDir,
    shm: TempDir,
    players: Vec<Player>,
    files: Vec<GrowingFile>,
    grow_at: Instant,
    /// Where receivers listen, once they have.
    listens: Vec<String>,
    /// Where the sender finds them.
    destinations: Vec<String>,
    archives: Vec<PathBuf>,
}

struct GrowingFile {
    source: String,
    path: PathBuf,
    file: File,
    lines: u64,
}

impl GrowingFile {
    fn grow(&mut self) -> Result<()> {
        let mut text = String::new();
        for line in self.lines..self.lines + GROWTH {
            text.push_str(&format!("{} 0 {line}\n", self.source));
        }
        self.lines += GROWTH;
        Ok(self.file.write_all(text.as_bytes())?)
    }
}

impl Cast {
    /// Starts everything.
    pub(crate) fn begin(hog: &Path, chance: &mut fastrand::Rng) -> Result<Self> {
        let temporary = || {
            let mut builder = tempfile::Builder::new();
            builder.prefix("hog-soak-");
            builder
        };
        let directory = temporary().tempdir()?;
        let archives = (0..RECEIVERS)
            .map(|number| directory.path().join(format!("receiver{number}/archive")))
            .collect();
        let mut roles: Vec<Role> = (0..RECEIVERS).map(Role::Receiver).collect();
        roles.push(Role::Sender);
        roles.extend((0..ENGINES).map(Role::Engine));
        roles.extend(Manner::ALL.map(|(manner, source)| Role::Producer(manner, source)));
        let mut cast = Self {
            hog: hog.to_owned(),
            shm: temporary().tempdir_in("/dev/shm")?,
            players: roles
                .into_iter()
                .map(|role| Player {
                    role,
                    child: None,
                    runs: 0,
                })
                .collect(),
            files: Vec::new(),
            grow_at: Instant::now(),
            listens: vec!["127.0.0.1:0".to_owned(); RECEIVERS],
            destinations: Vec::new(),
            archives,
            directory,
        };
        for number in 0..ENGINES {
            let (source, path) = (format!("file{number}"), cast.path(&format!("file{number}.log")));
            let mut file = GrowingFile {
                file: File::create(&path)?,
                source,
                path,
                lines: 0,
            };
            file.grow()?;
            cast.files.push(file);
        }
        std::fs::create_dir(cast.path("notes"))?;
        for number in 0..RECEIVERS {
            cast.start(&[number])?;
            cast.destinations
                .push(network::spoil(cast.listens[number].clone(), chance.u64(..))?);
        }
        let all: Vec<_> = (0..cast.len()).collect();
        cast.start(&all)?;
        Ok(cast)
    }

    /// How many processes there are.
    pub(crate) fn len(&self) -> usize {
        self.players.len()
    }

    /// Where the archives are.
    pub(crate) fn archives(&self) -> &[PathBuf] {
        &self.archives
    }

    /// Keeps the directory for whoever wants to look.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.directory.disable_cleanup(true);
        self.directory.path().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Lets files grow and engines that came to the end of theirs run again, for `time`.
    pub(crate) fn work_for(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if Instant::now() >= self.grow_at {
                self.grow_at = Instant::now() + GROWS_EVERY;
                for file in &mut self.files {
                    file.grow()?;
                }
            }
            for number in 0..self.players.len() {
                let Some(child) = &mut self.players[number].child else {
                    continue;
                };
                let Some(status) = child.try_wait()? else { continue };
                let role = self.players[number].role.clone();
                if !matches!(role, Role::Engine(_)) || !status.success() {
                    bail!("{role:?} ended by itself: {status}; see {}", self.words(number));
                }
                // It came to the end of its file, which has grown since.
                self.players[number].child = None;
                self.start(&[number])?;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Kills those of `victims` that run; says how many.
    pub(crate) fn kill(&mut self, victims: &[usize]) -> Result<u64> {
        let mut killed: Vec<Child> = Vec::new();
        for victim in victims {
            killed.extend(self.players[*victim].child.take());
        }
        for child in &mut killed {
            child.kill()?;
        }
        for child in &mut killed {
            child.wait()?;
        }
        Ok(killed.len() as u64)
    }

    /// Starts those of `players` that do not run.
    pub(crate) fn start(&mut self, players: &[usize]) -> Result<()> {
        for &number in players {
            if self.players[number].child.is_some() {
                continue;
            }
            let mut command = self.command(number)?;
            let stdout = self.path(&format!("{number}.stdout"));
            let words = File::options().create(true).append(true).open(self.words(number))?;
            self.players[number].child = Some(
                command
                    .stdin(Stdio::null())
                    .stdout(File::create(&stdout)?)
                    .stderr(words)
                    .spawn()?,
            );
            self.players[number].runs += 1;
            if let Role::Receiver(receiver) = self.players[number].role {
                self.listens[receiver] = self.first_line(number, &stdout)?;
            }
        }
        Ok(())
    }

    fn words(&self, number: usize) -> String {
        self.path(&format!("{number}.stderr")).display().to_string()
    }

    /// What a receiver says once senders may come.
    fn first_line(&self, number: usize, stdout: &Path) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some((line, _)) = std::fs::read_to_string(stdout)?.split_once('\n') {
                return Ok(line.to_owned());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("a receiver does not begin; see {}", self.words(number))
    }

    fn command(&self, number: usize) -> Result<Command> {
        let player = &self.players[number];
        let mut command = Command::new(&self.hog);
        match &player.role {
            Role::Engine(file) => {
                command
                    .args(["-q", "engine", "-g", GROUP, "--shm-dir"])
                    .arg(self.shm.path());
                command.arg(&self.files[*file].path);
            }
            Role::Producer(_, source) => {
                command = Command::new(std::env::current_exe()?);
                command.args(["--producer", source, &player.runs.to_string()]);
                command.arg(self.shm.path()).arg(self.path("notes"));
            }
            Role::Sender => self.sender(&mut command),
            Role::Receiver(number) => {
                command.args(["-q", "batchrecv", "--listen", &self.listens[*number], "-d"]);
                command.arg(self.archives[*number].join("$GROUP/$DATE"));
                command.arg("-m").arg(self.path(&format!("receiver{number}/store")));
            }
        }
        Ok(command)
    }

    fn sender(&self, command: &mut Command) {
        command
            .args(["-q", "batchsend", "-g", GROUP, "-d"])
            .arg(self.path("spool"));
        command.arg("-m").arg(self.path("store"));
        command.arg("--shm-dir").arg(self.shm.path());
        for destination in &self.destinations {
            command.args(["--to", destination]);
        }
    }

    /// Kills the producers for good, lets the engines come to the end of their files and the sender ship the rest; says what was logged.
    pub(crate) fn finish(&mut self) -> Result<AllLogged> {
        let all: Vec<_> = (0..self.players.len()).collect();
        let (producers, others): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|number| matches!(self.players[*number].role, Role::Producer(..)));
        self.kill(&producers)?;
        self.start(&others)?;
        for number in others.iter().copied() {
            if matches!(self.players[number].role, Role::Engine(_)) {
                // What runs now may be at its end already, and what was appended since is the next run's.
                self.end(number)?;
                self.start(&[number])?;
                self.end(number)?;
            }
        }
        let senders: Vec<_> = others
            .into_iter()
            .filter(|number| matches!(self.players[*number].role, Role::Sender))
            .collect();
        self.kill(&senders)?;
        let mut command = Command::new(&self.hog);
        self.sender(&mut command);
        let mut sender = command.arg("--drain-and-exit").spawn()?;
        let status = wait(&mut sender).context("the sender cannot ship the rest")?;
        if !status.success() {
            bail!("the last sender ended with {status}");
        }
        let receivers: Vec<_> = (0..RECEIVERS).collect();
        self.kill(&receivers)?;
        self.logged()
    }

    /// Waits for an engine's end; its ring is drained meanwhile.
    fn end(&mut self, number: usize) -> Result<()> {
        let words = self.words(number);
        let Some(mut engine) = self.players[number].child.take() else {
            return Ok(());
        };
        let sender = self
            .players
            .iter()
            .position(|player| matches!(player.role, Role::Sender));
        if let Some(sender) = sender {
            self.start(&[sender])?; // or its ring stays full
        }
        let status = wait(&mut engine)?;
        if status.success() {
            Ok(())
        } else {
            bail!("an engine ended with {status}; see {words}")
        }
    }

    fn logged(&self) -> Result<AllLogged> {
        let mut logged = AllLogged::new();
        for file in &self.files {
            let all = Logged {
                count: file.lines,
                is_all: true,
            };
            logged.insert((file.source.clone(), 0), all);
        }
        for player in &self.players {
            let Role::Producer(manner, source) = player.role else {
                continue;
            };
            let runs = if manner == Manner::Runs { player.runs } else { 1 };
            for run in 0..runs {
                let noted = match std::fs::read(note_path(&self.path("notes"), source, run)) {
                    Ok(noted) => noted,
                    // Killed before it had logged anything.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                    Err(error) => return Err(error.into()),
                };
                let count = noted.as_slice().try_into().map_or(0, u64::from_le_bytes);
                logged.insert((source.to_owned(), run), Logged { count, is_all: false });
            }
        }
        Ok(logged)
    }
}

fn wait(child: &mut Child) -> Result<std::process::ExitStatus> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    bail!("it does not end within {PATIENCE:?}")
}

impl Drop for Cast {
    fn drop(&mut self) {
        let all: Vec<_> = (0..self.players.len()).collect();
        let _ = self.kill(&all);
    }
}
