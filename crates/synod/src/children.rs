//! The replicas of a local cluster as child processes.
//!
//! A child holds a pipe from its parent and stops when the pipe closes: however the parent ends,
//! killed too, no child is left over.

use crate::layout::NodeFolder;
use crate::output::complain;
use consensus_core::NodeId;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader as StdReader};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// How long a child may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before a child that died is started again.
const PAUSE: Duration = Duration::from_millis(500);

/// How to start one replica.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Which.
    pub(crate) id: NodeId,
    /// This program.
    pub(crate) program: PathBuf,
    /// Its files.
    pub(crate) folder: NodeFolder,
    /// Keep what is not synced in memory, so that a kill loses it.
    pub(crate) lose_unsynced: bool,
    /// Start it again when it dies.
    pub(crate) restart: bool,
}

/// What happened to a child.
#[derive(Debug)]
pub(crate) enum Event {
    /// It takes commands.
    Ready(NodeId),
    /// It could not be started.
    NotStarted(NodeId, io::Error),
    /// It ended though nobody asked it to.
    Ended(NodeId, ExitStatus),
}

/// How one life of a child ended.
enum End {
    Stopped,
    Died(ExitStatus),
}

impl Plan {
    /// Runs the replica until `stop` becomes true, telling what happens.
    pub(crate) async fn run(self, events: mpsc::Sender<Event>, mut stop: watch::Receiver<bool>) {
        loop {
            let event = match self.live(&events, &mut stop).await {
                Ok(End::Stopped) => return,
                Ok(End::Died(status)) => Event::Ended(self.id, status),
                Err(error) => Event::NotStarted(self.id, error),
            };
            if events.send(event).await.is_err() || !self.restart {
                return;
            }
            if timeout(PAUSE, stopped(&mut stop)).await.is_ok() {
                return;
            }
        }
    }

    async fn live(
        &self,
        events: &mpsc::Sender<Event>,
        stop: &mut watch::Receiver<bool>,
    ) -> io::Result<End> {
        let mut child = self.spawn()?;
        if let Some(pid) = child.id() {
            fs::write(self.folder.pid(), format!("{pid}\n"))?;
        }
        // The child stops when this end of the pipe is dropped.
        let pipe = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout was asked for");
        let ready = self.watch_for_ready(stdout, events.clone());
        tokio::pin!(ready);
        let mut reading = true;
        let end = loop {
            tokio::select! {
                () = &mut ready, if reading => reading = false,
                status = child.wait() => break End::Died(status?),
                () = stopped(stop) => {
                    drop(pipe);
                    stop_or_kill(&mut child).await?;
                    break End::Stopped;
                }
            }
        };
        drop(fs::remove_file(self.folder.pid()));
        Ok(end)
    }

    fn spawn(&self) -> io::Result<Child> {
        let log = File::options().create(true).append(true).open(self.folder.log())?;
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--config").arg(self.folder.config()).arg("--stop-with-parent");
        if self.folder.is_new() {
            command.arg("--init");
        }
        if self.lose_unsynced {
            command.arg("--lose-unsynced");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        command.spawn()
    }

    /// The child says one line when it is ready, and nothing else.
    async fn watch_for_ready(&self, stdout: ChildStdout, events: mpsc::Sender<Event>) {
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if !line.starts_with("ready ") {
                continue;
            }
            if let Err(failure) = self.folder.mark_started() {
                complain(failure.message);
            }
            // If nobody listens any more, the cluster is being stopped.
            drop(events.send(Event::Ready(self.id)).await);
        }
    }

    /// The end of its log, for the reader who wonders why it died.
    pub(crate) fn last_words(&self) -> String {
        let Ok(file) = File::open(self.folder.log()) else { return String::new() };
        let lines: Vec<String> = StdReader::new(file).lines().map_while(Result::ok).collect();
        let from = lines.len().saturating_sub(3);
        let words: String = lines[from..].iter().map(|line| format!("\n    {line}")).collect();
        if words.is_empty() { words } else { format!("; the end of its log:{words}") }
    }

    /// Is a process of an earlier parent still at work on this replica's files? A left-over stops
    /// by itself soon after its parent died; if it does not, its number is given.
    pub(crate) async fn left_over(&self) -> Option<u32> {
        let pid: u32 = fs::read_to_string(self.folder.pid()).ok()?.trim().parse().ok()?;
        for _ in 0..50 {
            if !self.is_serving(pid) {
                return None;
            }
            tokio::time::sleep(PATIENCE / 50).await;
        }
        Some(pid)
    }

    /// Where there is no `/proc`, the lock on the data folder speaks later.
    fn is_serving(&self, pid: u32) -> bool {
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
        let config = self.folder.config().into_os_string().into_encoded_bytes();
        line.split(|byte| *byte == 0).any(|word| word == config)
    }
}

/// Ends when the cluster is to stop, or when nobody is left to say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn stop_or_kill(child: &mut Child) -> io::Result<()> {
    match timeout(PATIENCE, child.wait()).await {
        Ok(status) => status.map(drop),
        Err(_) => child.kill().await,
    }
}
