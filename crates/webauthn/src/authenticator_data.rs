//! What the authenticator says about the ceremony (§6.1).

use crate::cbor::Value;
use crate::{Aaguid, Ceremony, CredentialId, CredentialKey, Error, RelyingParty};

/// The longest authenticator data that is read. A key, an id and extensions have some 2,000 bytes.
pub(crate) const MAX_LEN: usize = 8192;

/// Bits of the flags (§6.1). The others are reserved, and not ours to judge.
mod flag {
    pub(super) const USER_PRESENT: u8 = 1 << 0;
    pub(super) const USER_VERIFIED: u8 = 1 << 2;
    pub(super) const BACKUP_ELIGIBLE: u8 = 1 << 3;
    pub(super) const BACKED_UP: u8 = 1 << 4;
    pub(super) const ATTESTED_DATA: u8 = 1 << 6;
    pub(super) const EXTENSION_DATA: u8 = 1 << 7;
}

/// Authenticator data, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthenticatorData {
    /// All of it, as it was signed.
    pub(crate) bytes: Vec<u8>,
    pub(crate) sign_count: u32,
    /// The new credential; there is one in a registration, and none else.
    pub(crate) attested: Option<Attested>,
    rp_id_hash: [u8; 32],
    flags: u8,
}

/// Attested credential data (§6.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attested {
    pub(crate) aaguid: Aaguid,
    pub(crate) id: CredentialId,
    pub(crate) key: CredentialKey,
}

impl AuthenticatorData {
    pub(crate) fn parse(ceremony: Ceremony, bytes: &[u8]) -> Result<Self, Error> {
        let short = Error::AuthenticatorDataMalformed;
        let (rp_id_hash, rest) = bytes.split_first_chunk::<32>().ok_or(short)?;
        let ([flags], rest) = rest.split_first_chunk::<1>().ok_or(short)?;
        let (sign_count, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
        let has = |bit| flags & bit != 0;
        let (attested, rest) = match (ceremony, has(flag::ATTESTED_DATA)) {
            (Ceremony::Registration, false) => return Err(Error::AttestedDataMissing),
            (Ceremony::Authentication, true) => return Err(Error::AttestedDataUnexpected),
            (Ceremony::Authentication, false) => (None, rest),
            (Ceremony::Registration, true) => {
                let (attested, rest) = Attested::read(rest)?;
                (Some(attested), rest)
            }
        };
        if has(flag::EXTENSION_DATA) {
            check_extensions(rest)?;
        } else if !rest.is_empty() {
            return Err(short);
        }
        Ok(Self {
            bytes: bytes.to_vec(),
            sign_count: u32::from_be_bytes(*sign_count),
            attested,
            rp_id_hash: *rp_id_hash,
            flags: *flags,
        })
    }

    /// §7.1 steps 14 to 17, §7.2 steps 15 to 18.
    pub(crate) fn check(&self, party: &RelyingParty) -> Result<(), Error> {
        if self.rp_id_hash != party.id_hash() {
            return Err(Error::RpIdMismatch);
        }
        if !self.has(flag::USER_PRESENT) {
            return Err(Error::UserNotPresent);
        }
        if !self.has(flag::USER_VERIFIED) {
            return Err(Error::UserNotVerified);
        }
        if self.is_backed_up() && !self.is_backup_eligible() {
            return Err(Error::BackupStateInvalid);
        }
        Ok(())
    }

    pub(crate) const fn is_backup_eligible(&self) -> bool {
        self.has(flag::BACKUP_ELIGIBLE)
    }

    pub(crate) const fn is_backed_up(&self) -> bool {
        self.has(flag::BACKED_UP)
    }

    /// What is signed: authenticator data, then the hash of the client data (§6.5.5).
    pub(crate) fn signed_with(&self, client_data_hash: &[u8; 32]) -> Vec<u8> {
        [&self.bytes[..], client_data_hash].concat()
    }

    const fn has(&self, bit: u8) -> bool {
        self.flags & bit != 0
    }
}

impl Attested {
    /// Reads from the front of `bytes`; the rest isn't its.
    fn read(bytes: &[u8]) -> Result<(Self, &[u8]), Error> {
        let short = Error::AuthenticatorDataMalformed;
        let (aaguid, rest) = bytes.split_first_chunk::<16>().ok_or(short)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(short)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (id, rest) = rest.split_at_checked(length).ok_or(short)?;
        let (key, rest) = Value::read(rest).map_err(|_| Error::KeyMalformed)?;
        let attested = Self {
            aaguid: Aaguid::from_bytes(*aaguid),
            id: CredentialId::new(id.to_vec())?,
            key: CredentialKey::from_cose(&key)?,
        };
        Ok((attested, rest))
    }
}

/// Extension outputs (§9): one map by the extensions' names. None of them is asked for, and what
/// authenticators add unasked is ignored (§7.1 step 28, §7.2 step 23).
fn check_extensions(bytes: &[u8]) -> Result<(), Error> {
    let outputs = Value::read_all(bytes).map_err(|_| Error::ExtensionsMalformed)?;
    let is_named = |(key, _): &(Value<'_>, _)| key.as_text().is_some();
    if outputs.as_map().is_some_and(|map| map.iter().all(is_named)) {
        Ok(())
    } else {
        Err(Error::ExtensionsMalformed)
    }
}
