use std::cell::Cell;

use super::build::element_size;
use super::{DecodeError, Enumerant, MAX_DEPTH, MAX_EMPTY_ELEMENTS, Pointed, Record};

const WORD: usize = 8;

/// Received bytes, and how much of them may still be read.
#[derive(Debug)]
struct Segment<'a> {
    bytes: &'a [u8],
    /// Words that may still be visited. A message is a tree, so none is visited twice, and a
    /// message whose pointers overlap to multiply its size runs out.
    words_left: Cell<usize>,
    empty_elements_left: Cell<u32>,
}

/// The root of a message, which owns the accounts of what was read.
#[derive(Debug)]
pub(super) struct Root<'a>(Segment<'a>);

/// Starts to read a message.
pub(super) fn root(bytes: &[u8]) -> Result<Root<'_>, DecodeError> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(WORD) {
        return Err(DecodeError::Truncated);
    }
    Ok(Root(Segment {
        bytes,
        words_left: Cell::new(bytes.len() / WORD - 1),
        empty_elements_left: Cell::new(MAX_EMPTY_ELEMENTS),
    }))
}

impl Root<'_> {
    pub(super) fn record<T: Record>(&self, name: &'static str) -> Result<T, DecodeError> {
        PointerReader::at(&self.0, 0, 0)
            .record()?
            .ok_or(DecodeError::MissingStruct { field: name })
    }
}

impl<'a> Segment<'a> {
    fn word(&self, at: usize) -> Option<u64> {
        let (word, _) = self
            .bytes
            .get(at.checked_mul(WORD)?..)?
            .split_first_chunk()?;
        Some(u64::from_le_bytes(*word))
    }

    /// `count` words from word `start`, paid for.
    fn take(&self, start: usize, count: usize) -> Result<&'a [u8], DecodeError> {
        let end = start.checked_add(count).ok_or(DecodeError::OutOfBounds)?;
        let range = start.checked_mul(WORD).zip(end.checked_mul(WORD));
        let (start, end) = range.ok_or(DecodeError::OutOfBounds)?;
        let words = self.bytes.get(start..end).ok_or(DecodeError::OutOfBounds)?;
        let left = self
            .words_left
            .get()
            .checked_sub(count)
            .ok_or(DecodeError::TooMuch)?;
        self.words_left.set(left);
        Ok(words)
    }
}

/// The members of a struct that was received.
#[derive(Clone, Copy, Debug)]
pub struct StructReader<'a> {
    segment: &'a Segment<'a>,
    data: &'a [u8],
    first_pointer: usize,
    pointer_count: usize,
    depth: u8,
}

impl<'a> StructReader<'a> {
    /// Little-endian bytes at a byte offset of the data section; zeroes if the writer's struct was
    /// shorter.
    pub fn bytes<const N: usize>(&self, offset: usize) -> [u8; N] {
        let bytes = self.data.get(offset..).and_then(|rest| rest.first_chunk());
        bytes.copied().unwrap_or([0; N])
    }

    /// The bit at a bit offset of the data section.
    pub fn bit(&self, offset: usize) -> bool {
        self.data
            .get(offset / 8)
            .is_some_and(|byte| byte >> (offset % 8) & 1 == 1)
    }

    /// The enumerant whose ordinal is at a byte offset, after XOR with the default's ordinal.
    ///
    /// # Errors
    /// [`DecodeError::UnknownEnumerant`].
    pub fn enumerant<T: Enumerant>(&self, offset: usize, default: u16) -> Result<T, DecodeError> {
        super::enumerant(u16::from_le_bytes(self.bytes(offset)) ^ default)
    }

    /// Text, data or a list at an index of the pointer section.
    ///
    /// # Errors
    /// [`DecodeError`] as said there.
    pub fn value<P: Pointed>(&self, index: usize) -> Result<P::Value, DecodeError> {
        self.pointer(index)
            .map_or_else(|| Ok(P::Value::default()), P::parse)
    }

    /// The struct at an index of the pointer section, or `None` if it is absent.
    ///
    /// # Errors
    /// [`DecodeError`] as said there.
    pub fn optional<T: Record>(&self, index: usize) -> Result<Option<T>, DecodeError> {
        self.pointer(index)
            .map_or(Ok(None), |pointer| pointer.record())
    }

    /// The struct at an index of the pointer section.
    ///
    /// # Errors
    /// [`DecodeError::MissingStruct`] with `field` if it is absent, and others as said there.
    pub fn required<T: Record>(&self, index: usize, field: &'static str) -> Result<T, DecodeError> {
        self.optional(index)?
            .ok_or(DecodeError::MissingStruct { field })
    }

    fn pointer(&self, index: usize) -> Option<PointerReader<'a>> {
        let depth = self.depth;
        (index < self.pointer_count)
            .then(|| PointerReader::at(self.segment, self.first_pointer + index, depth))
    }
}

/// A pointer that was received.
#[derive(Clone, Copy, Debug)]
pub struct PointerReader<'a> {
    segment: &'a Segment<'a>,
    at: usize,
    /// How many pointers were followed to get here.
    depth: u8,
}

/// A list pointer, decoded but not yet checked against the segment.
struct ListPointer {
    start: usize,
    element_size: u8,
    count: usize,
}

impl<'a> PointerReader<'a> {
    fn at(segment: &'a Segment<'a>, at: usize, depth: u8) -> Self {
        Self { segment, at, depth }
    }

    /// The pointer's word and the start of what it leads to; `None` if it is null.
    fn follow(&self) -> Result<Option<(u64, usize)>, DecodeError> {
        let word = self.segment.word(self.at).ok_or(DecodeError::OutOfBounds)?;
        if word == 0 {
            return Ok(None);
        }
        if word & 2 != 0 {
            return Err(DecodeError::UnsupportedPointer);
        }
        if self.depth >= MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        // The offset is the upper 30 bits of the lower half, signed, from the end of this word.
        let low = i32::from_le_bytes(first_four(word)) >> 2;
        let offset = isize::try_from(low).map_err(|_| DecodeError::OutOfBounds)?;
        let start = (self.at + 1)
            .checked_add_signed(offset)
            .ok_or(DecodeError::OutOfBounds)?;
        Ok(Some((word, start)))
    }

    fn record<T: Record>(&self) -> Result<Option<T>, DecodeError> {
        let Some((word, start)) = self.follow()? else {
            return Ok(None);
        };
        if word & 3 != 0 {
            return Err(DecodeError::WrongKind);
        }
        let (data, pointers) = struct_size(word);
        let words = self.segment.take(start, data + pointers)?;
        T::read(&self.struct_in(words, start, data, pointers)).map(Some)
    }

    /// A struct that lies in `words`, which begin at word `start` of the segment.
    fn struct_in(
        &self,
        words: &'a [u8],
        start: usize,
        data: usize,
        pointers: usize,
    ) -> StructReader<'a> {
        StructReader {
            segment: self.segment,
            data: words.get(..data * WORD).unwrap_or_default(),
            first_pointer: start + data,
            pointer_count: pointers,
            depth: self.depth + 1,
        }
    }

    fn list(&self) -> Result<Option<ListPointer>, DecodeError> {
        let Some((word, start)) = self.follow()? else {
            return Ok(None);
        };
        if word & 3 != 1 {
            return Err(DecodeError::WrongKind);
        }
        let [low, ..] = (word >> 32).to_le_bytes();
        let count = usize::try_from(word >> 35).map_err(|_| DecodeError::OutOfBounds)?;
        Ok(Some(ListPointer {
            start,
            element_size: low & 7,
            count,
        }))
    }

    /// The bytes of a list of integers of `N` bytes each; `None` if the pointer is null.
    pub(super) fn scalars<const N: usize>(&self) -> Result<Option<&'a [u8]>, DecodeError> {
        let Some(list) = self.list()? else {
            return Ok(None);
        };
        if list.element_size != element_size(N) {
            return Err(DecodeError::WrongKind);
        }
        let length = list.count.checked_mul(N).ok_or(DecodeError::OutOfBounds)?;
        let words = self.segment.take(list.start, length.div_ceil(WORD))?;
        Ok(words.get(..length))
    }

    /// The bytes and the count of a list of bits.
    pub(super) fn bits(&self) -> Result<(&'a [u8], usize), DecodeError> {
        let Some(list) = self.list()? else {
            return Ok((&[], 0));
        };
        if list.element_size != 1 {
            return Err(DecodeError::WrongKind);
        }
        let words = self
            .segment
            .take(list.start, list.count.div_ceil(8 * WORD))?;
        Ok((words, list.count))
    }

    /// The elements of a list of pointers.
    pub(super) fn pointers(&self) -> Result<impl Iterator<Item = Self> + use<'a>, DecodeError> {
        let list = self.list()?;
        let list = list.unwrap_or(ListPointer {
            start: 0,
            element_size: 6,
            count: 0,
        });
        if list.element_size != 6 {
            return Err(DecodeError::WrongKind);
        }
        self.segment.take(list.start, list.count)?;
        let (segment, depth) = (self.segment, self.depth + 1);
        Ok((list.start..list.start + list.count).map(move |at| Self::at(segment, at, depth)))
    }

    /// The elements of a list of structs.
    pub(super) fn structs(
        &self,
    ) -> Result<impl Iterator<Item = StructReader<'a>> + use<'a>, DecodeError> {
        let (mut start, mut count, mut size) = (0, 0, (0, 0));
        if let Some(list) = self.list()? {
            if list.element_size != 7 {
                return Err(DecodeError::WrongKind);
            }
            // The tag has the form of a struct pointer whose offset is the number of elements.
            self.segment.take(list.start, 1)?;
            let tag = self
                .segment
                .word(list.start)
                .ok_or(DecodeError::OutOfBounds)?;
            if tag & 3 != 0 {
                return Err(DecodeError::WrongKind);
            }
            count =
                usize::try_from(tag >> 2 & 0x3fff_ffff).map_err(|_| DecodeError::OutOfBounds)?;
            size = struct_size(tag);
            start = list.start + 1;
            let words = count
                .checked_mul(size.0 + size.1)
                .ok_or(DecodeError::OutOfBounds)?;
            if words > list.count {
                return Err(DecodeError::OutOfBounds);
            }
            // What the elements leave unused is paid for as well.
            self.segment.take(start, list.count)?;
            if words == 0 {
                self.pay_for_empty(count)?;
            }
        }
        let (list, (data, pointers)) = (*self, size);
        Ok((0..count).map(move |index| {
            let at = start + index * (data + pointers);
            let words = list.segment.bytes.get(at * WORD..).unwrap_or_default();
            list.struct_in(words, at, data, pointers)
        }))
    }

    fn pay_for_empty(&self, count: usize) -> Result<(), DecodeError> {
        let count = u32::try_from(count).map_err(|_| DecodeError::TooMuch)?;
        let left = self.segment.empty_elements_left.get().checked_sub(count);
        self.segment
            .empty_elements_left
            .set(left.ok_or(DecodeError::TooMuch)?);
        Ok(())
    }
}

fn first_four(word: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = word.to_le_bytes();
    [a, b, c, d]
}

/// Words of data and number of pointers, from the upper half of a struct pointer.
fn struct_size(word: u64) -> (usize, usize) {
    let [_, _, _, _, a, b, c, d] = word.to_le_bytes();
    (
        usize::from(u16::from_le_bytes([a, b])),
        usize::from(u16::from_le_bytes([c, d])),
    )
}
