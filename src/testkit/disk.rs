//! A disk in memory that fails as disks do: for tests of what must survive a crash.
//!
//! It keeps apart what the process sees and what is on stable storage. A file's content gets there by
//! [`DiskFile::sync_data`], sector by sector (512 bytes), the names in a folder by [`Disk::sync_folder`]. After
//! [`SimulatedDisk::crash`] every sector and every change of a name that was not synced is there or is not, as the seed
//! decides; after [`SimulatedDisk::kill`] everything is still there, as after the end of a process. Faults are injected
//! with [`SimulatedDisk::inject`].
//!
//! The same calls in the same order on a disk of the same seed give the same results.

mod fault;
mod file;
mod node;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use fault::{Failure, Fault, Operation};

use self::fault::Faults;
use self::file::SimulatedFile;
use self::node::Node;
use crate::runtime::disk::{Disk, DiskFile};

/// See the module. A clone is the same disk.
#[derive(Debug, Clone)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    nodes: BTreeMap<NodeId, Node>,
    next_node: NodeId,
    folders: BTreeSet<PathBuf>,
    /// Names as the process sees them.
    names: BTreeMap<PathBuf, NodeId>,
    /// Names on stable storage.
    stable_names: BTreeMap<PathBuf, NodeId>,
    /// What has been done to names since, in order.
    changes: Vec<Change>,
    faults: Faults,
    capacity: Option<u64>,
}

type NodeId = u64;

/// Names that change together, all in one folder, and the files that they then have.
#[derive(Debug, Clone)]
struct Change {
    folder: PathBuf,
    names: Vec<(PathBuf, Option<NodeId>)>,
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, NodeId>) {
        for (name, node) in &self.names {
            match node {
                Some(node) => names.insert(name.clone(), *node),
                None => names.remove(name),
            };
        }
    }
}

impl SimulatedDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        Self::of(State {
            random: fastrand::Rng::with_seed(seed),
            nodes: BTreeMap::new(),
            next_node: 0,
            folders: BTreeSet::new(),
            names: BTreeMap::new(),
            stable_names: BTreeMap::new(),
            changes: Vec::new(),
            faults: Faults::default(),
            capacity: None,
        })
    }

    fn of(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that fails on one thread must not hide behind another panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk after a loss of power, without any fault. This one, and every file of it, answers with errors from now
    /// on.
    #[must_use]
    pub fn crash(&self) -> Self {
        let mut state = self.state();
        let names = state.names_after_crash();
        let State { nodes, random, .. } = &mut *state;
        let kept: BTreeSet<_> = names.values().copied().collect();
        let nodes = nodes
            .iter()
            .filter(|(id, _)| kept.contains(id))
            .map(|(id, node)| (*id, node.after_crash(random)))
            .collect();
        let stable_names = names.clone();
        state.replaced(|old| State { nodes, names, stable_names, changes: Vec::new(), ..old })
    }

    /// The disk after the end of the process, without any fault: nothing is lost, and what was not synced still is not.
    /// This one, and every file of it, answers with errors from now on.
    #[must_use]
    pub fn kill(&self) -> Self {
        self.state().replaced(|mut old| {
            let changed =
                old.changes.iter().flat_map(|change| &change.names).filter_map(|(_, node)| node.as_ref());
            let kept: BTreeSet<_> =
                old.names.values().chain(old.stable_names.values()).chain(changed).copied().collect();
            old.nodes.retain(|id, _| kept.contains(id));
            old
        })
    }

    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.add(fault);
    }

    /// Takes all faults away that have been added, so that the disk works again.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Ends the power after so many more operations that change something: the next one is done in part, perhaps, and
    /// everything from then on is an error, until [`SimulatedDisk::crash`] gives a disk that works.
    pub fn cut_power_after(&self, changes: u64) {
        self.state().faults.cut_power_after(changes);
    }

    /// Whether the power has ended.
    pub fn is_off(&self) -> bool {
        self.state().faults.is_off()
    }

    /// How often an operation was asked for.
    pub fn count(&self, operation: Operation) -> u64 {
        self.state().faults.count(operation)
    }

    /// How many operations that change something were asked for: where [`SimulatedDisk::cut_power_after`] can strike.
    pub fn changes(&self) -> u64 {
        self.state().faults.changes()
    }

    /// Bytes that all its files may have together; what goes beyond is written in part, or fails with `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Bytes of all its files.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Flips the bits of `mask` in a byte of a file, as they rot on the medium.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        let mut state = self.state();
        let id = state.find(path)?;
        if state.node(id)?.flip(offset, mask) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// The whole content of a file, as the process sees it. Never fails for a fault.
    pub fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        let id = state.find(path)?;
        Ok(state.node(id)?.content().to_vec())
    }
}

impl State {
    /// The state that takes this one's place. The old one is switched off and let go of.
    fn replaced(&mut self, change: impl FnOnce(State) -> State) -> SimulatedDisk {
        let off = State {
            random: self.random.fork(),
            nodes: BTreeMap::new(),
            next_node: 0,
            folders: BTreeSet::new(),
            names: BTreeMap::new(),
            stable_names: BTreeMap::new(),
            changes: Vec::new(),
            faults: Faults::off(),
            capacity: None,
        };
        let old = std::mem::replace(self, off);
        SimulatedDisk::of(State { faults: Faults::default(), ..change(old) })
    }

    /// A file system with a journal keeps the first few changes, another one any of them.
    fn names_after_crash(&mut self) -> BTreeMap<PathBuf, NodeId> {
        let mut names = self.stable_names.clone();
        let in_order = self.random.bool();
        let kept = self.random.usize(..=self.changes.len());
        for (index, change) in self.changes.iter().enumerate() {
            if if in_order { index < kept } else { self.random.bool() } {
                change.apply(&mut names);
            }
        }
        names
    }

    fn change(&mut self, folder: &Path, names: Vec<(PathBuf, Option<NodeId>)>) {
        let change = Change { folder: folder.to_owned(), names };
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn find(&self, path: &Path) -> io::Result<NodeId> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn node(&mut self, id: NodeId) -> io::Result<&mut Node> {
        self.nodes.get_mut(&id).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn used(&self) -> u64 {
        let nodes = self.names.values().filter_map(|id| self.nodes.get(id));
        nodes.map(|node| node.content().len() as u64).sum()
    }

    /// The first operations of every call: is there power, is there a fault.
    fn begin(&mut self, operation: Operation, path: &Path) -> io::Result<Option<Failure>> {
        self.faults.begin(operation, path)
    }

    /// The same for a call that has no half result.
    fn begin_whole(&mut self, operation: Operation, path: &Path) -> io::Result<()> {
        self.begin(operation, path)?.map_or(Ok(()), |failure| Err(failure.error()))
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

impl Disk for SimulatedDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole(Operation::CreateFolder, folder)?;
        state.folders.extend(folder.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut state = self.state();
        state.begin_whole(Operation::List, folder)?;
        if !state.folders.contains(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let all = state.names.keys().chain(&state.folders);
        let mut paths: Vec<_> = all.filter(|path| path.parent() == Some(folder)).cloned().collect();
        paths.sort_unstable();
        Ok(paths)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.begin_whole(Operation::Create, path)?;
        let folder = folder_of(path).to_owned();
        if !state.folders.contains(&folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if state.names.contains_key(path) || state.folders.contains(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = state.next_node;
        state.next_node += 1;
        state.nodes.insert(node, Node::default());
        state.change(&folder, vec![(path.to_owned(), Some(node))]);
        drop(state);
        Ok(Arc::new(SimulatedFile { disk: self.clone(), node, path: path.to_owned() }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.begin_whole(Operation::Open, path)?;
        let node = state.find(path)?;
        drop(state);
        Ok(Arc::new(SimulatedFile { disk: self.clone(), node, path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole(Operation::Rename, from)?;
        let node = state.find(from)?;
        if folder_of(from) != folder_of(to) {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        state.change(folder_of(to), vec![(from.to_owned(), None), (to.to_owned(), Some(node))]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole(Operation::Remove, path)?;
        state.find(path)?;
        state.change(folder_of(path), vec![(path.to_owned(), None)]);
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole(Operation::SyncFolder, folder)?;
        let State { changes, stable_names, .. } = &mut *state;
        changes.retain(|change| {
            let synced = change.folder == folder;
            if synced {
                change.apply(stable_names);
            }
            !synced
        });
        Ok(())
    }
}
