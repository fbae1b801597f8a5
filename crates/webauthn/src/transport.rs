//! How a client reaches an authenticator (§5.8.4).

use serde::{Serialize, Serializer};

/// A transport that the specification names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Removable, by USB.
    Usb,
    /// By near field communication.
    Nfc,
    /// By Bluetooth Smart.
    Ble,
    /// A smart card with contacts.
    SmartCard,
    /// Another device, by whatever way the two find.
    Hybrid,
    /// The client's own device.
    Internal,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Usb,
        Self::Nfc,
        Self::Ble,
        Self::SmartCard,
        Self::Hybrid,
        Self::Internal,
    ];

    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usb => "usb",
            Self::Nfc => "nfc",
            Self::Ble => "ble",
            Self::SmartCard => "smart-card",
            Self::Hybrid => "hybrid",
            Self::Internal => "internal",
        }
    }

    /// The transport of this name. Clients may come to know more of them, which are to be ignored.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
}

impl Serialize for Transport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
