//! Files that appear whole, with their permissions, or not at all.
//!
//! Everything is written under other names first, flushed to the disk, and only then moved to where it
//! belongs. If that fails half-way, what was there before is put back.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
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
    /// What was made, the outermost first.
    made: Vec<PathBuf>,
}

impl Folder {
    /// Makes the folder if need be, and makes sure that files `names` can be made in it: a token is
    /// good once, so what can fail should do so before it is used.
    pub(crate) fn prepare(path: &Path, names: &[&str], force: bool) -> Result<Self, Failure> {
        let mut missing = Vec::new();
        let mut at = Some(path);
        while let Some(folder) =
            at.filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        {
            missing.push(folder.to_owned());
            at = folder.parent();
        }
        let mut folder = Self {
            path: path.to_owned(),
            made: Vec::new(),
        };
        for each in missing.into_iter().rev() {
            DirBuilder::new()
                .mode(0o700)
                .create(&each)
                .map_err(|error| failed(&each, &error))?;
            folder.made.push(each);
        }
        for name in names {
            let target = path.join(name);
            match fs::symlink_metadata(&target) {
                Ok(found) if found.is_dir() => {
                    return Err(Failure::local(
                        "exists",
                        format!("{} is a folder", show_path(&target)),
                    ));
                }
                Ok(_) if !force => return Err(exists(&target)),
                _ => {}
            }
        }
        drop(Staged::write(path, SECRET, &[]).map_err(|error| failed(path, &error))?);
        Ok(folder)
    }

    /// Writes all files or none; those that exist are replaced only with `force`.
    pub(crate) fn write(mut self, files: &[New<'_>], force: bool) -> Result<(), Failure> {
        let mut staged = Vec::new();
        for file in files {
            let content = Staged::write(&self.path, file.mode, file.content);
            let content = content.map_err(|error| failed(&self.path, &error))?;
            staged.push((self.path.join(file.name), content));
        }
        let mut placed = Vec::new();
        for (target, content) in &mut staged {
            match Placed::at(target, content, force) {
                Ok(done) => placed.push(done),
                Err(error) => {
                    placed.into_iter().rev().for_each(Placed::undo);
                    return Err(match error.kind() {
                        io::ErrorKind::AlreadyExists => exists(target),
                        _ => failed(target, &error),
                    });
                }
            }
        }
        self.made.clear();
        // The files are whole already; this only makes their names survive a crash.
        let _ = File::open(&self.path).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for folder in self.made.iter().rev() {
            // One that somebody else has put something into stays.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Replaces one file as a whole.
pub(crate) fn replace(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut staged = Staged::write(folder.unwrap_or_else(|| Path::new(".")), mode, content)?;
    fs::rename(&staged.path, path)?;
    staged.is_gone = true;
    Ok(())
}

/// Reads a file that isn't endless.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut content));
    read.map_err(|error| {
        Failure::local(
            "unreadable",
            format!("{} can't be read: {error}", show_path(path)),
        )
    })?;
    if u64::try_from(content.len()).is_ok_and(|length| length > LONGEST) {
        return Err(Failure::local(
            "unreadable",
            format!("{} is larger than 1 MiB", show_path(path)),
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
    fn write(folder: &Path, mode: u32, content: &[u8]) -> io::Result<Self> {
        let path = folder.join(unused_name()?);
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

fn unused_name() -> io::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!(".notme-{}", hex::encode(random)))
}

/// A file that is where it belongs.
struct Placed {
    target: PathBuf,
    /// What was there before, under another name.
    before: Option<Staged>,
}

impl Placed {
    fn at(target: &Path, staged: &mut Staged, force: bool) -> io::Result<Self> {
        let mut before = None;
        if force {
            let path = target.with_file_name(unused_name()?);
            match fs::hard_link(target, &path) {
                Ok(()) => {
                    before = Some(Staged {
                        path,
                        is_gone: false,
                    })
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            fs::rename(&staged.path, target)?;
            staged.is_gone = true;
        } else {
            // Unlike a rename, a link never replaces what somebody else put there meanwhile.
            fs::hard_link(&staged.path, target)?;
        }
        Ok(Self {
            target: target.to_owned(),
            before,
        })
    }

    fn undo(self) {
        // Nothing better can be done about a failure here than to tell the one that led to it.
        match self.before {
            Some(mut before) => before.is_gone = fs::rename(&before.path, &self.target).is_ok(),
            None => drop(fs::remove_file(&self.target)),
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
            let path = std::env::temp_dir().join(unused_name().unwrap());
            fs::create_dir(&path).unwrap();
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
        // The second file can't be put where it belongs.
        fs::create_dir(there.0.join("cert")).unwrap();
        let files = [new("key", SECRET, b"new"), new("cert", PUBLIC, b"c")];
        folder.write(&files, true).unwrap_err();
        assert_eq!(there.names(), ["cert", "key"]);
        assert_eq!(fs::read(there.0.join("key")).unwrap(), b"old");

        fs::remove_dir(there.0.join("cert")).unwrap();
        let folder = Folder::prepare(&there.0, &["key", "cert"], true).unwrap();
        folder.write(&files, true).unwrap();
        assert_eq!(there.names(), ["cert", "key"]);
        assert_eq!(fs::read(there.0.join("key")).unwrap(), b"new");
        assert_eq!(mode(&there.0.join("key")), 0o600);
    }
}
