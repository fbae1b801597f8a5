use super::{EncodeError, MAX_DEPTH, MAX_EMPTY_ELEMENTS, Pointed, Record};

const WORD: usize = 8;

/// One more than the largest element count and offset that a pointer can carry.
const LIMIT: usize = 1 << 29;

/// The members of a struct on their way out. Both sections grow as they are written, so that what
/// is not written costs nothing.
#[derive(Debug, Default)]
pub struct StructBuilder {
    data: Vec<u8>,
    pointers: Vec<Pointer>,
}

impl StructBuilder {
    pub(super) fn from_record(record: &impl Record) -> Result<Self, EncodeError> {
        let mut builder = Self::default();
        record.write(&mut builder)?;
        Ok(builder)
    }

    /// Puts little-endian bytes at a byte offset of the data section.
    pub fn put<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) {
        let end = offset.saturating_add(N);
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        if let Some(slot) = self.data.get_mut(offset..end) {
            slot.copy_from_slice(&bytes);
        }
    }

    /// Puts a bit at a bit offset of the data section.
    pub fn put_bit(&mut self, offset: usize, bit: bool) {
        let byte = offset / 8;
        if self.data.len() <= byte {
            self.data.resize(byte.saturating_add(1), 0);
        }
        if let Some(slot) = self.data.get_mut(byte) {
            *slot |= u8::from(bit) << (offset % 8);
        }
    }

    /// Puts text, data or a list at an index of the pointer section, or nothing if it is empty.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`].
    pub fn put_unless_empty<P: Pointed>(
        &mut self,
        index: usize,
        value: &P::Value,
    ) -> Result<(), EncodeError> {
        if P::is_empty(value) {
            Ok(())
        } else {
            self.put_value::<P>(index, value)
        }
    }

    /// Puts text, data or a list at an index of the pointer section, even if it is empty.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`].
    pub fn put_value<P: Pointed>(
        &mut self,
        index: usize,
        value: &P::Value,
    ) -> Result<(), EncodeError> {
        self.put_pointer(index, P::build(value)?);
        Ok(())
    }

    /// Puts a struct at an index of the pointer section.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`].
    pub fn put_struct(&mut self, index: usize, record: &impl Record) -> Result<(), EncodeError> {
        self.put_pointer(index, Pointer::from_record(record)?);
        Ok(())
    }

    fn put_pointer(&mut self, index: usize, pointer: Pointer) {
        while self.pointers.len() <= index {
            self.pointers.push(Pointer::Null);
        }
        if let Some(slot) = self.pointers.get_mut(index) {
            *slot = pointer;
        }
    }

    /// Words of data and pointers that remain when trailing zeroes are cut off.
    fn trimmed(&self) -> (usize, usize) {
        let bytes = self
            .data
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let pointers = self
            .pointers
            .iter()
            .rposition(|pointer| !matches!(pointer, Pointer::Null));
        (bytes.div_ceil(WORD), pointers.map_or(0, |last| last + 1))
    }
}

/// What a pointer leads to, on its way out.
#[derive(Debug)]
pub enum Pointer {
    /// Nothing.
    Null,
    /// A struct.
    Struct(StructBuilder),
    /// A list of pointers.
    Pointers(Vec<Self>),
    /// A list of structs, laid out inline.
    Structs(Vec<StructBuilder>),
    /// A list of bits or integers.
    Scalars(ScalarList),
}

/// A list of bits or integers, ready to be copied out.
#[derive(Debug)]
pub struct ScalarList {
    element_size: u8,
    count: usize,
    bytes: Vec<u8>,
}

impl Pointer {
    pub(super) fn from_record(record: &impl Record) -> Result<Self, EncodeError> {
        Ok(Self::Struct(StructBuilder::from_record(record)?))
    }

    /// A list of integers of `N` bytes each, which is 1, 2, 4 or 8.
    pub(super) fn scalars<const N: usize>(bytes: Vec<u8>) -> Result<Self, EncodeError> {
        let count = bytes.len() / N;
        Ok(Self::Scalars(ScalarList {
            element_size: element_size(N),
            count,
            bytes,
        }))
    }

    /// A list of `count` bits, the first in the lowest bit of the first byte.
    pub(super) fn bits(bytes: Vec<u8>, count: usize) -> Result<Self, EncodeError> {
        Ok(Self::Scalars(ScalarList {
            element_size: 1,
            count,
            bytes,
        }))
    }
}

/// The code of a list of integers of this many bytes.
pub(super) fn element_size(bytes: usize) -> u8 {
    match bytes {
        1 => 2,
        2 => 3,
        4 => 4,
        _ => 5,
    }
}

/// The message whose root pointer leads to `root`.
pub(super) fn lay_out(root: &Pointer) -> Result<Vec<u8>, EncodeError> {
    let mut segment = Segment {
        bytes: vec![0; WORD],
        empty_elements: 0,
    };
    segment.place(0, root, 0)?;
    Ok(segment.bytes)
}

struct Segment {
    bytes: Vec<u8>,
    empty_elements: usize,
}

impl Segment {
    /// Appends an object and everything it leads to, and sets the pointer in word `at` to it.
    fn place(&mut self, at: usize, object: &Pointer, depth: u8) -> Result<(), EncodeError> {
        if matches!(object, Pointer::Null) {
            return Ok(());
        }
        if depth >= MAX_DEPTH {
            return Err(EncodeError::TooDeep);
        }
        let start = self.words();
        match object {
            Pointer::Null => Ok(()),
            Pointer::Struct(builder) => {
                let size = builder.trimmed();
                if size == (0, 0) {
                    // A struct without words would lie nowhere; by convention its pointer has the
                    // offset -1, which tells it from a null pointer.
                    return self.set(at, 0xffff_fffc);
                }
                self.set(at, offset(at, start)? | struct_size(size)?)?;
                self.copy_struct(builder, size);
                self.place_pointers(start + size.0, &builder.pointers, depth)
            }
            Pointer::Pointers(pointers) => {
                self.set(at, offset(at, start)? | list(6, pointers.len())?)?;
                self.grow(pointers.len());
                self.place_pointers(start, pointers, depth)
            }
            Pointer::Structs(builders) => self.place_structs(at, builders, depth),
            Pointer::Scalars(scalars) => {
                self.set(
                    at,
                    offset(at, start)? | list(scalars.element_size, scalars.count)?,
                )?;
                self.bytes.extend_from_slice(&scalars.bytes);
                self.pad();
                Ok(())
            }
        }
    }

    /// Lays out a list of structs: a tag word, all elements in the largest size that any of them
    /// needs, then what their pointers lead to.
    fn place_structs(
        &mut self,
        at: usize,
        builders: &[StructBuilder],
        depth: u8,
    ) -> Result<(), EncodeError> {
        let sizes = builders.iter().map(StructBuilder::trimmed);
        let size = sizes.fold((0, 0), |(data, pointers), size| {
            (data.max(size.0), pointers.max(size.1))
        });
        let step = size.0 + size.1;
        if step == 0 {
            self.empty_elements = self.empty_elements.saturating_add(builders.len());
            if u32::try_from(self.empty_elements).map_or(true, |count| count > MAX_EMPTY_ELEMENTS) {
                return Err(EncodeError::TooLarge);
            }
        }
        let start = self.words();
        let words = builders
            .len()
            .checked_mul(step)
            .ok_or(EncodeError::TooLarge)?;
        self.set(at, offset(at, start)? | list(7, words)?)?;
        let count = u64::try_from(builders.len()).map_err(|_| EncodeError::TooLarge)?;
        self.grow(1);
        self.set(start, count << 2 | struct_size(size)?)?;
        for builder in builders {
            self.copy_struct(builder, size);
        }
        for (index, builder) in builders.iter().enumerate() {
            self.place_pointers(start + 1 + index * step + size.0, &builder.pointers, depth)?;
        }
        Ok(())
    }

    fn place_pointers(
        &mut self,
        first: usize,
        pointers: &[Pointer],
        depth: u8,
    ) -> Result<(), EncodeError> {
        for (index, pointer) in pointers.iter().enumerate() {
            self.place(first + index, pointer, depth.saturating_add(1))?;
        }
        Ok(())
    }

    /// Appends a struct's data, padded or cut to its size, and room for its pointers.
    fn copy_struct(&mut self, builder: &StructBuilder, (data, pointers): (usize, usize)) {
        let end = self.bytes.len() + data * WORD;
        self.bytes.extend(builder.data.iter().take(data * WORD));
        self.bytes.resize(end, 0);
        self.grow(pointers);
    }

    fn words(&self) -> usize {
        self.bytes.len() / WORD
    }

    fn grow(&mut self, words: usize) {
        self.bytes.resize(self.bytes.len() + words * WORD, 0);
    }

    fn pad(&mut self) {
        self.bytes
            .resize(self.bytes.len().next_multiple_of(WORD), 0);
    }

    fn set(&mut self, at: usize, word: u64) -> Result<(), EncodeError> {
        let slot = self.bytes.get_mut(at * WORD..(at + 1) * WORD);
        slot.ok_or(EncodeError::TooLarge)?
            .copy_from_slice(&word.to_le_bytes());
        Ok(())
    }
}

/// The offset part of a pointer in word `at` to an object in word `start`.
fn offset(at: usize, start: usize) -> Result<u64, EncodeError> {
    let offset = start.saturating_sub(at).saturating_sub(1);
    if offset >= LIMIT {
        return Err(EncodeError::TooLarge);
    }
    u64::try_from(offset)
        .map(|offset| offset << 2)
        .map_err(|_| EncodeError::TooLarge)
}

fn struct_size((data, pointers): (usize, usize)) -> Result<u64, EncodeError> {
    let data = u16::try_from(data).map_err(|_| EncodeError::TooLarge)?;
    let pointers = u16::try_from(pointers).map_err(|_| EncodeError::TooLarge)?;
    Ok(u64::from(data) << 32 | u64::from(pointers) << 48)
}

/// The list part of a pointer: `count` is words, without the tag, for a list of structs.
fn list(element_size: u8, count: usize) -> Result<u64, EncodeError> {
    if count >= LIMIT {
        return Err(EncodeError::TooLarge);
    }
    let count = u64::try_from(count).map_err(|_| EncodeError::TooLarge)?;
    Ok(1 | u64::from(element_size) << 32 | count << 35)
}
