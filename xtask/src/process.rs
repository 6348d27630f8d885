//! Child processes: run one to its end, keep one going, stop it. And the signals that ask us to stop.

use std::{
    fmt,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

const POLL: Duration = Duration::from_millis(25);
/// How long a child may take to stop when asked; nextest gives its tests ten seconds.
const GRACE: Duration = Duration::from_secs(15);

/// The signal that asked us to stop, zero before.
static RECEIVED: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Somebody pressed Ctrl-C or sent SIGTERM. Everything is stopped on the way out.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// From here on signals are noted, not obeyed: what we started is stopped first.
pub(crate) fn listen_for_signals() -> Result<()> {
    let received = RECEIVED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_usize(signal, Arc::clone(received), signal as usize)?;
    }
    Ok(())
}

fn received() -> usize {
    RECEIVED.get().map_or(0, |signal| signal.load(Ordering::Relaxed))
}

/// Fails when a signal has asked us to stop.
pub(crate) fn check_interrupted() -> Result<()> {
    if received() == 0 { Ok(()) } else { Err(Interrupted.into()) }
}

/// Says what happens now.
pub(crate) fn step(title: &str) {
    eprintln!("==> {title}");
}

/// Runs a command to its end, with its output streaming through. Fails unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let mut child = spawn(command)?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if received() != 0 {
            // A terminal's Ctrl-C has reached the child as well; a second signal would make it hurry.
            if received() != SIGINT as usize || !ends_within(&mut child, GRACE) {
                stop(&mut child, Signal::TERM);
            }
            return Err(Interrupted.into());
        }
        thread::sleep(POLL);
    };
    check_interrupted()?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

fn spawn(command: &mut Command) -> Result<Child> {
    command.spawn().with_context(|| format!("cannot start `{}`", line(command)))
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy());
    words.collect::<Vec<_>>().join(" ")
}

fn ends_within(child: &mut Child, limit: Duration) -> bool {
    let asked = Instant::now();
    while asked.elapsed() < limit {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        thread::sleep(POLL);
    }
    false
}

/// Asks a child to stop, and makes it when it does not.
fn stop(child: &mut Child, signal: Signal) {
    let _ = kill_process(Pid::from_child(child), signal);
    if !ends_within(child, GRACE) {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A process in the background: stopped and waited for when this is dropped, and by the kernel should we be killed.
pub(crate) struct Daemon {
    child: Child,
    stop_signal: Signal,
    name: &'static str,
}

impl Daemon {
    /// Starts a command made by [`tethered`]. It gets a process group of its own, so that a terminal's Ctrl-C reaches
    /// only us and things stop in the right order.
    pub(crate) fn start(name: &'static str, stop_signal: Signal, command: &mut Command) -> Result<Self> {
        let child = spawn(command.process_group(0))?;
        Ok(Self { child, stop_signal, name })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until `ready` says so.
    pub(crate) fn wait_until(&mut self, limit: Duration, ready: impl Fn() -> bool) -> Result<()> {
        let started = Instant::now();
        while !ready() {
            check_interrupted()?;
            if let Some(status) = self.ended()? {
                bail!("{} ended while starting ({status})", self.name);
            }
            if started.elapsed() > limit {
                bail!("{} was not ready within {} s", self.name, limit.as_secs());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        stop(&mut self.child, self.stop_signal);
    }
}

/// A command for a [`Daemon`]: where Linux can, the process gets `stop_signal` when we die, however we die.
pub(crate) fn tethered(program: &Path, stop_signal: Signal) -> Command {
    let Some(setpriv) = cfg!(target_os = "linux").then(|| find_program("setpriv")).flatten() else {
        return Command::new(program);
    };
    let mut command = Command::new(setpriv);
    let name = if stop_signal == Signal::INT { "INT" } else { "TERM" };
    command.args(["--pdeathsig", name]).arg(program);
    command
}

/// Keeps the daemons going until a signal comes or one of them ends by itself.
pub(crate) fn supervise(daemons: &mut [Daemon]) -> Result<()> {
    loop {
        check_interrupted()?;
        for daemon in daemons.iter_mut() {
            if let Some(status) = daemon.ended()? {
                bail!("{} ended ({status})", daemon.name);
            }
        }
        thread::sleep(POLL);
    }
}

/// Where a program is on the PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}
