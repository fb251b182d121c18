//! Which disk each peer had when we first met it: `peers.toml`.
//!
//! A replica that comes back under its number with another disk has forgotten what it promised. Its
//! own directory cannot tell, as it is new; so its peers remember, across their own starts.

use crate::identity::DiskId;
use crate::storage::Storage;
use crate::wal::sync_dir;
use consensus_core::NodeId;
use consensus_core::mutant::planted;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const NAME: &str = "peers.toml";
const NEXT: &str = "peers.toml.next";
const COMMENT: &str = "# Written by Synod: the disks of the replicas that this one has met. If a \
                       replica's\n# disk is gone, do not edit this: add a replica under a new \
                       number.\n";

/// The file as it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    disks: BTreeMap<String, String>,
}

/// The disks of the peers that we have met.
pub(crate) struct PeerDisks {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    known: Mutex<BTreeMap<NodeId, DiskId>>,
}

impl PeerDisks {
    /// Reads what is remembered. A file that cannot be read is as good as none: it is a second line
    /// of defence, and no reason not to start.
    pub(crate) fn open(storage: Arc<dyn Storage>, dir: &Path) -> io::Result<Self> {
        let path = dir.join(NAME);
        let known = match storage.length(&path)? {
            None => BTreeMap::new(),
            Some(_) => {
                let bytes = storage.open(&path, false)?.read()?;
                parse(&bytes).unwrap_or_else(|| {
                    tracing::warn!(path = %path.display(), "cannot be read; it is begun anew");
                    BTreeMap::new()
                })
            }
        };
        Ok(Self { storage, dir: dir.to_path_buf(), known: Mutex::new(known) })
    }

    /// A peer says which disk it has. Remembers it, or says why the peer must not come in. Blocks.
    pub(crate) fn meet(&self, node: NodeId, disk: DiskId) -> Result<(), String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&node) {
            Some(before) if *before == disk || planted("N04") => Ok(()),
            Some(before) => Err(format!(
                "{node} ran with another disk before ({before}, now {disk}): a replica that lost \
                 its data must not come back under its number. Put its data directory back; or \
                 remove {node} from the members and add a replica with a number that was never used"
            )),
            None => {
                known.insert(node, disk);
                if let Err(error) = self.store(&known) {
                    tracing::warn!(%error, "could not write down which disk a peer has");
                }
                Ok(())
            }
        }
    }

    fn store(&self, known: &BTreeMap<NodeId, DiskId>) -> io::Result<()> {
        let disks = known.iter().map(|(node, disk)| (node.to_string(), disk.to_string()));
        let body =
            toml::to_string(&Written { disks: disks.collect() }).map_err(io::Error::other)?;
        let (path, next) = (self.dir.join(NAME), self.dir.join(NEXT));
        if self.storage.length(&next)?.is_some() {
            self.storage.remove(&next)?;
        }
        let mut file = self.storage.open(&next, true)?;
        file.append(format!("{COMMENT}{body}").as_bytes())?;
        file.sync()?;
        self.storage.rename(&next, &path)?;
        sync_dir(&*self.storage, &path).map_err(io::Error::other)
    }
}

fn parse(bytes: &[u8]) -> Option<BTreeMap<NodeId, DiskId>> {
    let written: Written = toml::from_str(str::from_utf8(bytes).ok()?).ok()?;
    let one = |(node, disk): (String, String)| {
        let node = NodeId(node.strip_prefix('n')?.parse().ok()?);
        Some((node, DiskId(u64::from_str_radix(&disk, 16).ok()?)))
    };
    written.disks.into_iter().map(one).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::storage::DiscardUnsynced;

    /// openraft's FAQ, "wipe node data": a wiped node under its old number loses data.
    #[test]
    pub(crate) fn another_disk_under_the_same_number_is_refused() {
        let dir = Scratch::new("peers");
        // What was not synced is gone at once.
        let storage = || Arc::new(DiscardUnsynced);
        let open = || PeerDisks::open(storage(), dir.path()).expect("it can be read");
        let (first, wiped) = (DiskId(7), DiskId(8));
        let disks = open();
        assert_eq!(disks.meet(NodeId(1), first), Ok(()));
        assert_eq!(disks.meet(NodeId(2), wiped), Ok(()), "another peer");
        let disks = open();
        assert_eq!(disks.meet(NodeId(1), first), Ok(()), "the same again");
        let refused = disks.meet(NodeId(1), wiped).expect_err("another disk");
        assert!(refused.contains("n1 ran with another disk"), "{refused}");
        std::fs::write(dir.path().join(NAME), b"garbage").expect("a file");
        assert_eq!(open().meet(NodeId(1), wiped), Ok(()), "nothing is remembered");
    }
}
