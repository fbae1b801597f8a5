//! Challenges that store nothing until they are used
//! ([ADR 8](https://github.com/notme/notme/blob/main/docs/adr/0008-challenges.md)).

use hmac::{Hmac, KeyInit, Mac};
use notme_keys::encode_base64url;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::Burn;

/// How long a challenge is good, in seconds.
pub const LIFETIME_SECS: u64 = 300;
/// The same of an authorization code: it only has to come back from a browser.
pub const CODE_LIFETIME_SECS: u64 = 60;
/// Length of a challenge, in bytes.
pub const LEN: usize = 32;
const NONCE_LEN: usize = 12;
const LABEL: &[u8] = b"notme-challenge-v1";
const ANYBODYS_LABEL: &[u8] = b"notme-anybodys-challenge-key-v1";

/// What a challenge is good for. One ceremony's challenge is worth nothing in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ceremony {
    /// Registering a passkey; the context is the id of the user to be.
    Registration,
    /// Signing in; there is no context, for nobody is known yet.
    SignIn,
    /// Showing oneself again; the context is the session.
    StepUp,
    /// Showing possession of two keys; the context is the session.
    Possession,
    /// Signing in, or joining, by an identity of an issuer that is trusted; nobody is known yet.
    Identity,
    /// Linking an identity; the context is the session.
    Connection,
    /// An authorization code; the context is what it stands for.
    Code,
    /// A nonce for DPoP proofs. It is for everybody, and what makes a proof single is something else.
    Nonce,
}

impl Ceremony {
    const fn label(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::SignIn => "sign-in",
            Self::StepUp => "step-up",
            Self::Possession => "possession",
            Self::Identity => "identity",
            Self::Connection => "connection",
            Self::Code => "code",
            Self::Nonce => "nonce",
        }
    }

    /// How long a challenge of it is good, in seconds.
    const fn lifetime_secs(self) -> u64 {
        match self {
            Self::Code => CODE_LIFETIME_SECS,
            _ => LIFETIME_SECS,
        }
    }
}

/// What a token says that is made for a challenge: its digest, so that the token doesn't tell the challenge. Whoever
/// shows it has to know both.
#[must_use]
pub fn nonce(challenge: &[u8; LEN]) -> String {
    encode_base64url(&Sha256::digest(challenge))
}

/// Why a challenge isn't accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeError {
    /// Not of this authority, for another ceremony, or changed.
    Unknown,
    /// Older than its ceremony's challenges may be.
    Expired,
}

/// The key that makes challenges and knows them again.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ChallengeKey {
    own: [u8; 32],
    anybodys: AnybodysKey,
}

/// The key of challenges without a context: whoever asks gets one, so whatever answers strangers may make them.
/// It is made from the other and tells nothing of it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
pub struct AnybodysKey([u8; 32]);

impl std::fmt::Debug for AnybodysKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnybodysKey")
    }
}

impl AnybodysKey {
    /// Makes a challenge, as [`ChallengeKey::make`] does where there is no context.
    #[must_use]
    pub fn make(&self, ceremony: Ceremony, nonce: [u8; NONCE_LEN], now: u64) -> [u8; LEN] {
        make(&self.0, ceremony, b"", nonce, now)
    }

    /// Knows a challenge again, as [`ChallengeKey::recognize`] does where there is no context.
    ///
    /// # Errors
    /// [`ChallengeError`].
    pub fn recognize(
        &self,
        ceremony: Ceremony,
        challenge: &[u8],
        now: u64,
    ) -> Result<Burn, ChallengeError> {
        recognize(&self.0, ceremony, b"", challenge, now)
    }
}

impl ChallengeKey {
    /// A key of random bytes.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        let mut mac = keyed(&random);
        mac.update(ANYBODYS_LABEL);
        Self {
            own: random,
            anybodys: AnybodysKey(mac.finalize().into_bytes().into()),
        }
    }

    /// The part of it that makes challenges without a context.
    #[must_use]
    pub const fn anybodys(&self) -> &AnybodysKey {
        &self.anybodys
    }

    const fn of(&self, context: &[u8]) -> &[u8; 32] {
        if context.is_empty() {
            &self.anybodys.0
        } else {
            &self.own
        }
    }

    /// Makes a challenge: `nonce ‖ expiry (big endian) ‖ MAC`. `nonce` is fresh, `now` in Unix seconds.
    #[must_use]
    pub fn make(
        &self,
        ceremony: Ceremony,
        context: &[u8],
        nonce: [u8; NONCE_LEN],
        now: u64,
    ) -> [u8; LEN] {
        make(self.of(context), ceremony, context, nonce, now)
    }

    /// Knows a challenge again, and tells what must be burned for it to work once.
    ///
    /// # Errors
    /// [`ChallengeError`], the same for whatever is wrong but its age.
    pub fn recognize(
        &self,
        ceremony: Ceremony,
        context: &[u8],
        challenge: &[u8],
        now: u64,
    ) -> Result<Burn, ChallengeError> {
        recognize(self.of(context), ceremony, context, challenge, now)
    }
}

fn recognize(
    key: &[u8; 32],
    ceremony: Ceremony,
    context: &[u8],
    challenge: &[u8],
    now: u64,
) -> Result<Burn, ChallengeError> {
    let (nonce, rest) = challenge
        .split_first_chunk::<NONCE_LEN>()
        .ok_or(ChallengeError::Unknown)?;
    let (expiry, tag) = rest
        .split_first_chunk::<4>()
        .ok_or(ChallengeError::Unknown)?;
    if challenge.len() != LEN {
        return Err(ChallengeError::Unknown);
    }
    mac(key, ceremony, context, nonce, *expiry)
        .verify_truncated_left(tag) // in constant time
        .map_err(|_| ChallengeError::Unknown)?;
    let expiry = u64::from(u32::from_be_bytes(*expiry));
    // Made by ourselves, so it can't be from further ahead than the clock went back.
    if expiry <= now || expiry > now.saturating_add(2 * ceremony.lifetime_secs()) {
        return Err(ChallengeError::Expired);
    }
    Ok(Burn::new(
        "challenge",
        ceremony.label(),
        &hex::encode(challenge),
        expiry + LIFETIME_SECS,
    ))
}

fn make(
    key: &[u8; 32],
    ceremony: Ceremony,
    context: &[u8],
    nonce: [u8; NONCE_LEN],
    now: u64,
) -> [u8; LEN] {
    let expiry = now.saturating_add(ceremony.lifetime_secs());
    let expiry = u32::try_from(expiry).unwrap_or(u32::MAX);
    let expiry = expiry.to_be_bytes();
    let tag = mac(key, ceremony, context, &nonce, expiry).finalize();
    let mut challenge = [0; LEN];
    let bytes = nonce.into_iter().chain(expiry).chain(tag.into_bytes());
    challenge
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = from);
    challenge
}

fn mac(
    key: &[u8; 32],
    ceremony: Ceremony,
    context: &[u8],
    nonce: &[u8; NONCE_LEN],
    expiry: [u8; 4],
) -> Hmac<Sha256> {
    let mut mac = keyed(key);
    for part in [LABEL, ceremony.label().as_bytes(), context] {
        // Lengths first: no two triples have the same bytes.
        mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(part);
    }
    mac.update(nonce);
    mac.update(&expiry);
    mac
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; 64]; // as HMAC itself fills a shorter key up
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mac = Hmac::<Sha256>::new(&block.into());
    block.zeroize();
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_295_166;

    fn key() -> ChallengeKey {
        ChallengeKey::new([7; 32])
    }

    #[test]
    fn is_known_again_for_five_minutes_in_its_ceremony_and_context() {
        let made = key().make(Ceremony::StepUp, b"a", [1; 12], NOW);
        let known = |ceremony, context: &[u8], now| key().recognize(ceremony, context, &made, now);
        assert!(known(Ceremony::StepUp, b"a", NOW).is_ok());
        assert!(known(Ceremony::StepUp, b"a", NOW + 299).is_ok());
        let expired = Err(ChallengeError::Expired);
        assert_eq!(known(Ceremony::StepUp, b"a", NOW + 300), expired);
        assert_eq!(known(Ceremony::StepUp, b"a", NOW - 400), expired);
        let unknown = Err(ChallengeError::Unknown);
        assert_eq!(known(Ceremony::StepUp, b"b", NOW), unknown);
        assert_eq!(known(Ceremony::SignIn, b"a", NOW), unknown);
        let other = ChallengeKey::new([8; 32]);
        assert_eq!(other.recognize(Ceremony::StepUp, b"a", &made, NOW), unknown);
    }

    #[test]
    fn a_code_is_good_for_a_minute() {
        let made = key().make(Ceremony::Code, b"a", [1; 12], NOW);
        let known = |now| key().recognize(Ceremony::Code, b"a", &made, now);
        assert!(known(NOW + 59).is_ok());
        assert_eq!(known(NOW + 60), Err(ChallengeError::Expired));
        assert_eq!(known(NOW - 61), Err(ChallengeError::Expired));
        let nonce = key().recognize(Ceremony::Nonce, b"a", &made, NOW);
        assert_eq!(nonce, Err(ChallengeError::Unknown));
    }

    #[test]
    fn no_changed_bit_is_accepted() {
        let made = key().make(Ceremony::SignIn, b"", [1; 12], NOW);
        for bit in 0..LEN * 8 {
            let mut changed = made;
            changed[bit / 8] ^= 1 << (bit % 8);
            let judged = key().recognize(Ceremony::SignIn, b"", &changed, NOW);
            assert_eq!(judged, Err(ChallengeError::Unknown), "bit {bit}");
        }
        for len in 0..LEN {
            let judged = key().recognize(Ceremony::SignIn, b"", &made[..len], NOW);
            assert_eq!(judged, Err(ChallengeError::Unknown), "{len} bytes");
        }
        let longer = [&made[..], &[0]].concat();
        assert!(
            key()
                .recognize(Ceremony::SignIn, b"", &longer, NOW)
                .is_err()
        );
    }

    #[test]
    fn each_is_burned_as_itself() {
        let burn = |nonce| {
            let made = key().make(Ceremony::SignIn, b"", nonce, NOW);
            key().recognize(Ceremony::SignIn, b"", &made, NOW).unwrap()
        };
        assert_eq!(burn([1; 12]), burn([1; 12]));
        assert_ne!(burn([1; 12]).digest, burn([2; 12]).digest);
        assert!(
            burn([1; 12]).expires_at > NOW + LIFETIME_SECS,
            "outlives the challenge"
        );
    }

    #[test]
    fn form_unchanged() {
        // Another implementation: Python's hmac over the same bytes.
        let made = key().make(Ceremony::StepUp, b"a", [1; 12], NOW);
        let expected = "0101010101010101010101016b0208ea991ee5faed535c0ad01cdd6deb3f599b";
        assert_eq!(hex::encode(made), expected);
        let made = key().make(Ceremony::SignIn, b"", [1; 12], NOW);
        let expected = "0101010101010101010101016b0208eaf91a7be73f4cb9993f8f794fe43956d8";
        assert_eq!(hex::encode(made), expected);
    }

    #[test]
    fn a_strangers_part_of_the_key_makes_what_is_for_anybody_and_nothing_else() {
        let part = key().anybodys().clone();
        let known = |ceremony, context: &[u8]| {
            let made = part.make(ceremony, [1; 12], NOW);
            key().recognize(ceremony, context, &made, NOW)
        };
        assert!(known(Ceremony::SignIn, b"").is_ok());
        assert!(known(Ceremony::Possession, b"").is_ok());
        assert!(known(Ceremony::Possession, b"a").is_err());
        // Nor as the whole key.
        let made = ChallengeKey::new(part.0).make(Ceremony::StepUp, b"a", [1; 12], NOW);
        assert!(key().recognize(Ceremony::StepUp, b"a", &made, NOW).is_err());
        assert_eq!(format!("{part:?}"), "AnybodysKey");
    }
}
