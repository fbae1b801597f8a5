//! Files that appear whole, with their permissions; and of several that belong together, never some of one run
//! beside some of another.
//!
//! Everything is written under other names first, and flushed to the disk. Then what was there before goes
//! aside and what is new takes its place, one file at a time: what depends on others goes first and
//! comes last. So wherever that ends, what is there belongs together. If it fails, what was there before is
//! put back.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use crate::failure::Failure;
use crate::http::LONGEST_LIST;
use crate::text::show_path;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// For a secret: its owner's alone.
pub(crate) const SECRET: u32 = 0o600;
/// For everybody to read.
pub(crate) const PUBLIC: u32 = 0o644;

/// A file to be written.
pub(crate) struct New<'a> {
    pub(crate) name: &'static str,
    pub(crate) mode: u32,
    pub(crate) content: &'a [u8],
}

/// A folder that files will go to. If it is made here and nothing gets into it, it goes away again.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Locked, so that what other runs left in it is of dead ones.
    handle: File,
    made: Made,
}

/// Folders that were made, the outermost first.
#[derive(Debug)]
struct Made(Vec<PathBuf>);

impl Folder {
    /// Makes the folder if need be, and makes sure that files `names` can be made in it: a token is
    /// good once, so what can fail should do so before it is used.
    pub(crate) fn prepare(path: &Path, names: &[&str], force: bool) -> Result<Self, Failure> {
        let _unbroken = Unbroken::begin();
        let made = Made::folders(path)?;
        let unwritable = |error| failed(path, &error);
        let handle = File::open(path).map_err(unwritable)?;
        match handle.try_lock() {
            Ok(()) => sweep(path),
            Err(TryLockError::WouldBlock) => {
                let text = format!("{} is being written to by another run", show_path(path));
                return Err(Failure::local("unwritable", text));
            }
            // Where there are no locks nobody knows whose leftovers are there.
            Err(TryLockError::Error(_)) => {}
        }
        let folder = Self {
            path: path.to_owned(),
            handle,
            made,
        };
        let mut occupied = Vec::new();
        for name in names {
            let target = path.join(name);
            if is_occupied(&target, force)? {
                occupied.push(target);
            }
        }
        let unused = || unused_path(path).map_err(unwritable);
        let probe = Staged::write(unused()?, SECRET, &[]).map_err(unwritable)?;
        folder.try_out(&Step::Place(probe.path.clone(), unused()?))?;
        for target in occupied {
            folder.try_out(&Step::Aside(target, unused()?))?;
        }
        Ok(folder)
    }

    /// Writes all files or none; those that exist are replaced only with `force`. What depends on others
    /// comes after them.
    pub(crate) fn write(mut self, files: &[New<'_>], force: bool) -> Result<(), Failure> {
        let _unbroken = Unbroken::begin();
        self.plan(files, force)?.carry_out(&self.handle)?;
        self.made.0.clear();
        Ok(())
    }

    fn plan(&self, files: &[New<'_>], force: bool) -> Result<Plan, Failure> {
        let unwritable = |error| failed(&self.path, &error);
        let unused = || unused_path(&self.path).map_err(unwritable);
        let (mut staged, mut asides, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for file in files {
            let target = self.path.join(file.name);
            if is_occupied(&target, force)? {
                asides.push(Step::Aside(target.clone(), unused()?));
            }
            let new = Staged::write(unused()?, file.mode, file.content).map_err(unwritable)?;
            places.push(Step::Place(new.path.clone(), target));
            staged.push(new);
        }
        let steps = asides.into_iter().rev().chain(places).collect();
        Ok(Plan {
            steps,
            _staged: staged,
        })
    }

    fn try_out(&self, step: &Step) -> Result<(), Failure> {
        let tried = step.run(&self.handle).and_then(|()| step.undo());
        tried.map_err(|error| step.failure(&error))
    }
}

impl Made {
    /// Makes `path` and what it is in, if need be. What others may write to is refused: they could put a key
    /// of theirs, or a root, in the place of ours.
    fn folders(path: &Path) -> Result<Self, Failure> {
        let mut missing = Vec::new();
        let mut at = Some(path);
        while let Some(folder) =
            at.filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        {
            missing.push(folder.to_owned());
            at = folder.parent();
        }
        let there = at.filter(|folder| !folder.as_os_str().is_empty());
        let there = there.unwrap_or_else(|| Path::new("."));
        let found = fs::metadata(there).map_err(|error| failed(there, &error))?;
        let mode = found.permissions().mode();
        // Where each user has a group of their own, as on Fedora, that group's members are no others.
        let others = if found.gid() == found.uid() {
            0o002
        } else {
            0o022
        };
        // In a sticky one, such as /tmp, only a file's owner can replace it.
        if mode & others != 0 && mode & 0o1000 == 0 {
            let text = format!(
                "others may replace files in {}: it has to be writable by its owner only",
                show_path(there)
            );
            return Err(Failure::local("unsafe_folder", text));
        }
        let mut made = Self(Vec::new());
        for each in missing.into_iter().rev() {
            DirBuilder::new()
                .mode(0o700)
                .create(&each)
                .map_err(|error| failed(&each, &error))?;
            made.0.push(each);
        }
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            // One that somebody else has put something into stays.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Replaces one file as a whole. Nobody else may be at it at the same time.
pub(crate) fn replace(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let new = with_suffix(path, ".new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {} // at most what a run left that died
    }
    let mut staged = Staged::write(new, mode, content)?;
    fs::rename(&staged.path, path)?;
    staged.is_gone = true;
    let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// `path` with more at the end of its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Reads a file that isn't endless.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    read_up_to(path, LONGEST)
}

/// The same, of a list of what is revoked.
pub(crate) fn read_list(path: &Path) -> Result<Vec<u8>, Failure> {
    read_up_to(path, LONGEST_LIST)
}

fn read_up_to(path: &Path, longest: u64) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(longest + 1).read_to_end(&mut content));
    read.map_err(|error| {
        Failure::local(
            "unreadable",
            format!("{} can't be read: {error}", show_path(path)),
        )
    })?;
    if u64::try_from(content.len()).is_ok_and(|length| length > longest) {
        return Err(Failure::local(
            "unreadable",
            format!("{} is larger than {} MiB", show_path(path), longest >> 20),
        ));
    }
    Ok(content)
}

/// A file under another name, until it is moved; it goes away if it isn't.
struct Staged {
    path: PathBuf,
    is_gone: bool,
}

impl Staged {
    fn write(path: PathBuf, mode: u32, content: &[u8]) -> io::Result<Self> {
        // Nobody else may ever read it, so that the mode is right before there is a secret in it.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(SECRET)
            .open(&path)?;
        let staged = Self {
            path,
            is_gone: false,
        };
        file.write_all(content)?;
        // Explicitly, whatever the umask is.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        Ok(staged)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_gone {
            let _ = fs::remove_file(&self.path);
        }
    }
}

const PREFIX: &str = ".notme-";

fn unused_path(folder: &Path) -> io::Result<PathBuf> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(folder.join(format!("{PREFIX}{}", hex::encode(random))))
}

/// Removes what runs left in the folder that were killed: there may be private keys in it.
fn sweep(folder: &Path) {
    let is_ours = |name: &str| {
        let random = name.strip_prefix(PREFIX).map(hex::decode);
        random.is_some_and(|random| random.is_ok_and(|random| random.len() == 16))
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_ours) {
            // Folders stay, and so does what can't be removed: it is in nobody's way.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether there is something at `target` that may be replaced.
fn is_occupied(target: &Path, force: bool) -> Result<bool, Failure> {
    match fs::symlink_metadata(target) {
        Ok(found) if found.is_dir() => {
            let text = format!("{} is a folder", show_path(target));
            Err(Failure::local("exists", text))
        }
        Ok(_) if !force => Err(exists(target)),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(target, &error)),
    }
}

/// What is to be done, in this order.
struct Plan {
    steps: Vec<Step>,
    _staged: Vec<Staged>,
}

impl Plan {
    fn carry_out(self, folder: &File) -> Result<(), Failure> {
        let mut done = Vec::new();
        for step in &self.steps {
            if let Err(error) = step.run(folder) {
                for step in done.into_iter().rev() {
                    // Nothing better can be done about a failure here than to tell the one that led to it.
                    let _ = Step::undo(step);
                }
                return Err(step.failure(&error));
            }
            done.push(step);
        }
        for step in &self.steps {
            if let Step::Aside(_, aside) = step {
                let _ = fs::remove_file(aside);
            }
        }
        Ok(())
    }
}

/// One change to a folder, which happens or doesn't.
enum Step {
    /// Moves what is there to another name.
    Aside(PathBuf, PathBuf),
    /// Puts a staged file where it belongs. Unlike a rename, a link never replaces what somebody else put
    /// there meanwhile.
    Place(PathBuf, PathBuf),
}

impl Step {
    fn run(&self, folder: &File) -> io::Result<()> {
        match self {
            Self::Aside(target, aside) => fs::rename(target, aside)?,
            Self::Place(staged, target) => fs::hard_link(staged, target)?,
        }
        // Steps must get to the disk in their order too. Not every file system can do that for a folder.
        let _ = folder.sync_all();
        Ok(())
    }

    fn undo(&self) -> io::Result<()> {
        match self {
            Self::Aside(target, aside) => fs::rename(aside, target),
            Self::Place(_, target) => fs::remove_file(target),
        }
    }

    fn failure(&self, error: &io::Error) -> Failure {
        match self {
            Self::Place(_, target) if error.kind() == io::ErrorKind::AlreadyExists => {
                exists(target)
            }
            Self::Place(_, target) | Self::Aside(target, _) => failed(target, error),
        }
    }
}

/// While it lives, signals that would end the process wait. They do for this thread, and there is no other but
/// while a name is looked up.
struct Unbroken(Option<SigSet>);

impl Unbroken {
    fn begin() -> Self {
        let signals: SigSet = [
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGTERM,
        ]
        .into_iter()
        .collect();
        Self(signals.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok())
    }
}

impl Drop for Unbroken {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = before.thread_set_mask();
        }
    }
}

fn exists(path: &Path) -> Failure {
    let text = format!("{} exists already; --force replaces it", show_path(path));
    Failure::local("exists", text)
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::local(
        "unwritable",
        format!("{} can't be written: {error}", show_path(path)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Temporary(PathBuf);

    impl Temporary {
        fn new() -> Self {
            let path = unused_path(&std::env::temp_dir()).unwrap();
            DirBuilder::new().mode(0o700).create(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    const fn new<'a>(name: &'static str, mode: u32, content: &'a [u8]) -> New<'a> {
        New {
            name,
            mode,
            content,
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn files_have_their_modes_and_leave_nothing_beside_them() {
        let there = Temporary::new();
        let path = there.0.join("a/b");
        let folder = Folder::prepare(&path, &["key", "cert"], false).unwrap();
        folder
            .write(
                &[new("key", SECRET, b"k"), new("cert", PUBLIC, b"c")],
                false,
            )
            .unwrap();
        assert_eq!((mode(&path), mode(&there.0.join("a"))), (0o700, 0o700));
        assert_eq!(
            (mode(&path.join("key")), mode(&path.join("cert"))),
            (0o600, 0o644)
        );
        assert_eq!(fs::read(path.join("key")).unwrap(), b"k");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
    }

    #[test]
    fn a_folder_that_is_not_used_goes_away() {
        let there = Temporary::new();
        drop(Folder::prepare(&there.0.join("a/b"), &["key"], false).unwrap());
        assert!(there.names().is_empty());
    }

    #[test]
    fn what_exists_stays() {
        let there = Temporary::new();
        fs::write(there.0.join("cert"), "old").unwrap();
        let refused = Folder::prepare(&there.0, &["key", "cert"], false).unwrap_err();
        assert_eq!(refused.code, "exists");
        // Somebody made it after it was looked for.
        let folder = Folder::prepare(&there.0, &[], false).unwrap();
        let files = [new("key", SECRET, b"k"), new("cert", PUBLIC, b"c")];
        assert_eq!(folder.write(&files, false).unwrap_err().code, "exists");
        assert_eq!(there.names(), ["cert"]);
        assert_eq!(fs::read(there.0.join("cert")).unwrap(), b"old");
    }

    #[test]
    fn a_link_is_not_followed() {
        let there = Temporary::new();
        std::os::unix::fs::symlink(there.0.join("elsewhere"), there.0.join("key")).unwrap();
        assert_eq!(
            Folder::prepare(&there.0, &["key"], false).unwrap_err().code,
            "exists"
        );
        let folder = Folder::prepare(&there.0, &["key"], true).unwrap();
        folder.write(&[new("key", SECRET, b"k")], true).unwrap();
        assert_eq!(there.names(), ["key"]);
        assert!(fs::symlink_metadata(there.0.join("key")).unwrap().is_file());
    }

    #[test]
    fn replacing_is_all_or_nothing() {
        let there = Temporary::new();
        fs::write(there.0.join("key"), "old").unwrap();
        let folder = Folder::prepare(&there.0, &["key"], true).unwrap();
        let files = [new("key", SECRET, b"new"), new("cert", PUBLIC, b"c")];
        // The second file can't be put where it belongs: somebody else is faster.
        let plan = folder.plan(&files, true).unwrap();
        fs::write(there.0.join("cert"), "theirs").unwrap();
        let failure = plan.carry_out(&folder.handle).unwrap_err();
        assert_eq!(failure.code, "exists");
        assert_eq!(there.names(), ["cert", "key"]);
        assert_eq!(fs::read(there.0.join("key")).unwrap(), b"old");
        assert_eq!(fs::read(there.0.join("cert")).unwrap(), b"theirs");

        folder.write(&files, true).unwrap();
        assert_eq!(there.names(), ["cert", "key"]);
        assert_eq!(fs::read(there.0.join("key")).unwrap(), b"new");
        assert_eq!(mode(&there.0.join("key")), 0o600);
    }

    #[test]
    fn wherever_it_ends_what_is_there_belongs_together() {
        const NAMES: [&str; 3] = ["root", "key", "cert"];
        for old in [&NAMES[..], &[]] {
            let steps = old.len() + NAMES.len();
            for killed_after in 0..=steps {
                let there = Temporary::new();
                for name in old {
                    fs::write(there.0.join(name), "old").unwrap();
                }
                let folder = Folder::prepare(&there.0, &NAMES, true).unwrap();
                let plan = folder.plan(&NAMES.map(|name| new(name, SECRET, b"new")), true);
                let plan = plan.unwrap();
                assert_eq!(plan.steps.len(), steps);
                for step in plan.steps.iter().take(killed_after) {
                    step.run(&folder.handle).unwrap();
                }
                std::mem::forget(plan); // as somebody does who is killed

                let content = |name| fs::read(there.0.join(name)).ok();
                if let Some(cert) = content("cert") {
                    assert_eq!(content("key").as_ref(), Some(&cert), "{killed_after}");
                    assert_eq!(content("root").as_ref(), Some(&cert), "{killed_after}");
                }
                if killed_after == steps {
                    assert_eq!(content("cert").unwrap(), b"new");
                }
                drop(folder);
                drop(Folder::prepare(&there.0, &NAMES, true).unwrap());
                assert!(!there.names().iter().any(|name| name.starts_with('.')));
            }
        }
    }

    #[test]
    fn only_leftovers_are_swept_and_not_those_of_a_run_that_lives() {
        let there = Temporary::new();
        let leftover = unused_path(&there.0).unwrap();
        for path in [&leftover, &there.0.join(".notme-state"), &there.0.join("x")] {
            fs::write(path, "").unwrap();
        }
        let folder = Folder::prepare(&there.0, &[], false).unwrap();
        assert_eq!(there.names(), [".notme-state", "x"]);
        fs::write(&leftover, "").unwrap();
        let second = Folder::prepare(&there.0, &[], false).unwrap_err();
        assert_eq!(second.code, "unwritable");
        assert!(leftover.exists());
        drop(folder);
        drop(Folder::prepare(&there.0, &[], false).unwrap());
        assert!(!leftover.exists());
    }

    #[test]
    fn a_folder_that_others_write_to_is_refused() {
        let there = Temporary::new();
        let owner = fs::metadata(&there.0).unwrap();
        let has_own_group = owner.gid() == owner.uid();
        for (mode, code) in [
            (0o770, (!has_own_group).then_some("unsafe_folder")),
            (0o702, Some("unsafe_folder")),
            (0o1777, None),
            (0o755, None),
        ] {
            fs::set_permissions(&there.0, Permissions::from_mode(mode)).unwrap();
            for path in [there.0.clone(), there.0.join("a/b")] {
                let failure = Folder::prepare(&path, &[], false).err();
                assert_eq!(failure.map(|f| f.code).as_deref(), code, "{mode:o}");
            }
            assert!(there.names().is_empty());
        }
    }

    #[test]
    fn a_signal_waits() {
        let unbroken = Unbroken::begin();
        nix::sys::signal::raise(Signal::SIGTERM).unwrap();
        let pending: SigSet = [Signal::SIGTERM].into_iter().collect();
        assert_eq!(pending.wait(), Ok(Signal::SIGTERM));
        drop(unbroken);
        assert!(!SigSet::thread_get_mask().unwrap().contains(Signal::SIGTERM));
    }
}
