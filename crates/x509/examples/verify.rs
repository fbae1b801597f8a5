//! Verifies leaves under a root, as a consumer of our certificates would:
//! `verify UNIX_SECONDS ROOT.pem LEAF.pem…` prints `FILE: OK` for each leaf, or why not.

use std::error::Error;
use std::path::Path;

use notme_keys::decode_pem;
use notme_keys::native::settle;
use notme_x509::{Leaf, Root};

type Anything<T> = Result<T, Box<dyn Error>>;

fn read(path: &Path) -> Anything<Vec<u8>> {
    let text = std::fs::read_to_string(path)?;
    decode_pem("CERTIFICATE", &text).map_err(|error| format!("{error:?}").into())
}

fn verify(leaf: &Path, root: &Root, now: u64) -> Anything<()> {
    let leaf = Leaf::from_der(&read(leaf)?)?;
    let signed = settle(&leaf.signature_check(root)).is_verified();
    Ok(leaf.verify(root, signed, now)?)
}

fn main() -> Anything<()> {
    let mut files = std::env::args_os().skip(1);
    let (Some(now), Some(root)) = (files.next(), files.next()) else {
        return Err("usage: verify UNIX_SECONDS ROOT.pem LEAF.pem…".into());
    };
    let now = now.to_string_lossy().parse()?;
    let root = Root::from_der(&read(Path::new(&root))?)?;
    if !settle(root.signature_check()).is_verified() {
        return Err("the root is not signed by itself".into());
    }
    for file in files {
        let path = Path::new(&file);
        match verify(path, &root, now) {
            Ok(()) => println!("{}: OK", path.display()),
            Err(why) => println!("{}: {why}", path.display()),
        }
    }
    Ok(())
}
