//! Other people's certificates: read strictly, followed to a pinned root, and looked up in their issuers'
//! revocation lists (RFC 5280).
//!
//! **In scope:** certificates and revocation lists in DER; paths from one of them through others to a root
//! (§6.1), built and judged with bounded effort; name constraints; what a certificate says about whom it names.
//!
//! **Out of scope:** fetching anything; host names and the rules of the web's CAs; certificate policies, so a
//! certificate whose critical extensions are about them is refused; delta lists and lists about others'
//! certificates.
//!
//! **Invariants:** no clock (the time is an argument); nothing is verified here: signatures are
//! [obligations](notme_keys::SignatureCheck) of a [`Plan`], and only once they are settled is there a
//! [`Path`]; whatever isn't understood is refused; what is done is at most what [`Limits`] say.

mod algorithm;
mod certificate;
mod constraints;
mod general_name;
mod name;
mod path;
mod revocation;
mod time;

pub use certificate::{Certificate, KeyUse};
pub use general_name::GeneralName;
pub use name::Name;
pub use path::{Limits, Path, Plan, Purpose, Rules};
pub use revocation::{Revocation, RevocationList};

use std::fmt;

/// Why a certificate, a list or a path isn't good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not one DER element of that kind; which part of it isn't.
    Malformed(&'static str),
    /// Against the profile of RFC 5280; how.
    Profile(&'static str),
    /// It has an extension that must be understood and isn't.
    UnknownCriticalExtension,
    /// Its time is over, in Unix seconds of its last one.
    Expired(i64),
    /// Its time has not come, in Unix seconds of its first one.
    NotYetValid(i64),
    /// It is used to certify others, and is no CA's.
    NotCa,
    /// There are more certificates below one than it allows.
    PathTooLong,
    /// Its key may not be used for this.
    KeyUsage,
    /// It is for other purposes.
    Purpose,
    /// A name isn't one that a CA above may certify, or nobody can tell.
    NameConstraints,
    /// No root that is pinned is above it.
    NoPath,
    /// Its signature is of a kind that isn't verified here, or not of its issuer's key's kind.
    UnsupportedAlgorithm,
    /// A signature isn't the issuer's.
    BadSignature,
    /// Its issuer took it back.
    Revoked,
    /// Its issuer's list is missing, or isn't good now.
    RevocationUnknown(&'static str),
    /// To find out would be more work than is done for a stranger.
    TooMuch,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(part) | Self::Profile(part) | Self::RevocationUnknown(part) => part,
            Self::UnknownCriticalExtension => "a critical extension is unknown",
            Self::Expired(_) => "a certificate has expired",
            Self::NotYetValid(_) => "a certificate is not valid yet",
            Self::NotCa => "an issuer is no CA",
            Self::PathTooLong => "the path is longer than a CA in it allows",
            Self::KeyUsage => "a key may not be used for what it is used for",
            Self::Purpose => "a certificate is for other purposes",
            Self::NameConstraints => "a name is outside of a CA's constraints",
            Self::NoPath => "no path leads to a pinned root",
            Self::UnsupportedAlgorithm => "a signature's algorithm is not supported",
            Self::BadSignature => "a signature is not the issuer's",
            Self::Revoked => "a certificate was revoked",
            Self::TooMuch => "the chain takes too much work",
        })
    }
}

impl std::error::Error for Refusal {}
