//! Bytes held by the host for one call: hashed while written, capped, in memory while small and in an unnamed temporary file above.
//!
//! Everything here is synchronous; `services` moves what touches a disk off the async threads.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tempfile::{SpooledData, SpooledTempFile};
use tributary_core::{
    contract::{Failure, Fault},
    hash::Sha256Hash,
};

/// Blobs up to this size stay in memory.
const SPOOL_BYTES: usize = 1 << 20;
/// Most bytes one `read` returns.
const MAX_READ_BYTES: u64 = 4 << 20;

/// What one call may keep.
#[derive(Clone, Copy, Debug)]
pub struct BlobLimits {
    /// Bytes of one blob.
    pub max_blob_bytes: u64,
    /// Bytes of all blobs of the call.
    pub max_total_bytes: u64,
    /// Number of blobs of the call.
    pub max_blobs: usize,
}

impl Default for BlobLimits {
    /// 64 MiB each, 128 MiB and 4,096 blobs in all.
    fn default() -> Self {
        Self { max_blob_bytes: 64 << 20, max_total_bytes: 128 << 20, max_blobs: 4096 }
    }
}

/// Sealed bytes. Cheap to clone; outlives the call that made it.
#[derive(Clone, Debug)]
pub struct Blob {
    size_bytes: u64,
    sha256: Sha256Hash,
    data: Data,
}

#[derive(Clone, Debug)]
enum Data {
    Memory(Bytes),
    File(Arc<File>),
}

impl Blob {
    /// A blob of bytes the host already has.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { size_bytes: bytes.len() as u64, sha256: Sha256Hash::of(&bytes), data: Data::Memory(bytes) }
    }

    /// Its length.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Its hash.
    pub fn sha256(&self) -> Sha256Hash {
        self.sha256
    }

    /// Whether reading it never touches a disk.
    pub fn in_memory(&self) -> bool {
        matches!(self.data, Data::Memory(_))
    }

    /// At most `len` bytes from `offset`; fewer, or none, at the end.
    pub fn read(&self, offset: u64, len: u64) -> Result<Bytes, Failure> {
        let start = offset.min(self.size_bytes);
        let len = len.min(self.size_bytes - start) as usize;
        match &self.data {
            Data::Memory(bytes) => Ok(bytes.slice(start as usize..start as usize + len)),
            Data::File(file) => {
                let mut buffer = vec![0; len];
                file.read_exact_at(&mut buffer, start).map_err(disk)?;
                Ok(buffer.into())
            }
        }
    }

    /// All of it.
    pub fn read_all(&self) -> Result<Bytes, Failure> {
        self.read(0, self.size_bytes)
    }
}

/// A blob being written.
pub(crate) struct BlobWriter {
    spool: SpooledTempFile,
    hasher: Sha256,
    size_bytes: u64,
    max_bytes: u64,
}

impl BlobWriter {
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { spool: SpooledTempFile::new(SPOOL_BYTES), hasher: Sha256::new(), size_bytes: 0, max_bytes }
    }

    /// Whether `more` bytes would go to, or already are on, a disk.
    fn on_disk(&self, more: usize) -> bool {
        self.size_bytes + more as u64 > SPOOL_BYTES as u64
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.size_bytes + bytes.len() as u64 > self.max_bytes {
            return Err(Failure::new(
                Fault::TooLarge,
                "blob_too_large",
                format!("the item is longer than {} bytes; raise the limit or leave the item out", self.max_bytes),
            ));
        }
        self.spool.write_all(bytes).map_err(disk)?;
        self.hasher.update(bytes);
        self.size_bytes += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn seal(self) -> Blob {
        let data = match self.spool.into_inner() {
            SpooledData::InMemory(buffer) => Data::Memory(buffer.into_inner().into()),
            SpooledData::OnDisk(file) => Data::File(Arc::new(file)),
        };
        Blob { size_bytes: self.size_bytes, sha256: Sha256Hash(self.hasher.finalize().into()), data }
    }
}

fn disk(error: io::Error) -> Failure {
    Failure::new(
        Fault::Transient,
        "spool_failed",
        format!(
            "the server could not keep a large item in its temporary directory: {error}; check that it has free space"
        ),
    )
}

/// The blobs of one call, by id. Ids mean nothing outside of it, so a forged one finds at most the call's own bytes.
#[derive(Debug)]
pub struct Blobs {
    limits: BlobLimits,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    made: u64,
    used_bytes: u64,
    slots: HashMap<u64, Slot>,
}

enum Slot {
    Open(Box<BlobWriter>),
    /// Its writer is in use, outside the lock.
    Busy,
    Sealed(Blob),
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open(_) => "Open",
            Self::Busy => "Busy",
            Self::Sealed(_) => "Sealed",
        })
    }
}

impl Default for Blobs {
    fn default() -> Self {
        Self::new(BlobLimits::default())
    }
}

impl Blobs {
    /// An empty table.
    pub fn new(limits: BlobLimits) -> Self {
        Self { limits, table: Mutex::default() }
    }

    /// Starts an empty blob.
    pub fn create(&self) -> Result<u64, Failure> {
        let writer = Box::new(BlobWriter::new(self.limits.max_blob_bytes));
        self.table().insert(Slot::Open(writer), &self.limits)
    }

    /// Adds bytes to a blob that is not sealed yet.
    pub fn append(&self, id: u64, bytes: &[u8]) -> Result<(), Failure> {
        let mut writer = {
            let mut table = self.table();
            if !matches!(table.slots.get(&id), Some(Slot::Open(_))) {
                return Err(table.not_open(id));
            }
            table.reserve(bytes.len() as u64, &self.limits)?;
            match table.slots.insert(id, Slot::Busy) {
                Some(Slot::Open(writer)) => writer,
                _ => return Err(unknown(id)),
            }
        };
        let result = writer.write(bytes);
        self.table().slots.insert(id, Slot::Open(writer));
        result
    }

    /// Seals a blob; only then has it a hash and can be read.
    pub fn finish(&self, id: u64) -> Result<Blob, Failure> {
        let mut table = self.table();
        if !matches!(table.slots.get(&id), Some(Slot::Open(_))) {
            return Err(table.not_open(id));
        }
        let Some(Slot::Open(writer)) = table.slots.insert(id, Slot::Busy) else { return Err(unknown(id)) };
        let blob = writer.seal();
        table.slots.insert(id, Slot::Sealed(blob.clone()));
        Ok(blob)
    }

    /// Takes in a blob made elsewhere and names it.
    pub fn add(&self, blob: Blob) -> Result<u64, Failure> {
        let mut table = self.table();
        table.reserve(blob.size_bytes, &self.limits)?;
        table.insert(Slot::Sealed(blob), &self.limits)
    }

    /// The sealed blob `id`.
    pub fn get(&self, id: u64) -> Result<Blob, Failure> {
        match self.table().slots.get(&id) {
            Some(Slot::Sealed(blob)) => Ok(blob.clone()),
            Some(_) => Err(Failure::new(
                Fault::Internal,
                "blob_not_finished",
                format!("blob {id} was used before it was finished"),
            )),
            None => Err(unknown(id)),
        }
    }

    /// At most `len` bytes of the sealed blob `id` from `offset`.
    pub fn read(&self, id: u64, offset: u64, len: u64) -> Result<Bytes, Failure> {
        self.get(id)?.read(offset, len.min(MAX_READ_BYTES))
    }

    /// Bytes the call may still keep.
    pub fn remaining_bytes(&self) -> u64 {
        self.limits.max_total_bytes.saturating_sub(self.table().used_bytes)
    }

    /// Bytes one blob may have.
    pub fn max_blob_bytes(&self) -> u64 {
        self.limits.max_blob_bytes
    }

    /// What is said when the call's bytes are used up.
    pub(crate) fn page_full(&self) -> Failure {
        page_full(self.limits.max_total_bytes)
    }

    /// Whether appending `more` bytes to `id` would touch a disk.
    pub(crate) fn append_is_slow(&self, id: u64, more: usize) -> bool {
        matches!(self.table().slots.get(&id), Some(Slot::Open(writer)) if writer.on_disk(more))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

impl Table {
    fn insert(&mut self, slot: Slot, limits: &BlobLimits) -> Result<u64, Failure> {
        if self.slots.len() >= limits.max_blobs {
            return Err(Failure::new(
                Fault::TooLarge,
                "too_many_blobs",
                format!("a page may hold at most {} files; the connector must return smaller pages", limits.max_blobs),
            ));
        }
        self.made += 1;
        self.slots.insert(self.made, slot);
        Ok(self.made)
    }

    fn reserve(&mut self, bytes: u64, limits: &BlobLimits) -> Result<(), Failure> {
        if bytes > limits.max_total_bytes.saturating_sub(self.used_bytes) {
            return Err(page_full(limits.max_total_bytes));
        }
        self.used_bytes += bytes;
        Ok(())
    }

    fn not_open(&self, id: u64) -> Failure {
        match self.slots.get(&id) {
            Some(_) => {
                Failure::new(Fault::Internal, "blob_finished", format!("blob {id} is finished and cannot change"))
            }
            None => unknown(id),
        }
    }
}

fn page_full(max_total_bytes: u64) -> Failure {
    Failure::new(
        Fault::TooLarge,
        "page_full",
        format!(
            "the files of one page may have {max_total_bytes} bytes in all; the connector must return smaller pages"
        ),
    )
}

fn unknown(id: u64) -> Failure {
    Failure::new(Fault::NotFound, "unknown_blob", format!("blob {id} does not belong to this call"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_blobs_read_back_what_was_written() {
        let blobs = Blobs::default();
        for size in [0, 10, SPOOL_BYTES, SPOOL_BYTES + 1, 3 * SPOOL_BYTES + 7] {
            let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let id = blobs.create().unwrap();
            bytes.chunks(100_000).for_each(|chunk| blobs.append(id, chunk).unwrap());
            let blob = blobs.finish(id).unwrap();
            assert_eq!(blob.in_memory(), size <= SPOOL_BYTES);
            assert_eq!(blob.sha256(), Sha256Hash::of(&bytes));
            assert_eq!(blob.read_all().unwrap(), bytes);
            assert_eq!(blobs.read(id, size as u64 / 2, 5).unwrap(), bytes[size / 2..(size / 2 + 5).min(size)]);
            assert!(blobs.read(id, u64::MAX, 5).unwrap().is_empty());
        }
    }

    #[test]
    fn a_blob_must_be_finished_once_before_it_is_read() {
        let blobs = Blobs::default();
        let id = blobs.create().unwrap();
        assert_eq!(blobs.read(id, 0, 1).unwrap_err().code, "blob_not_finished");
        blobs.finish(id).unwrap();
        assert_eq!(blobs.append(id, b"x").unwrap_err().code, "blob_finished");
        assert_eq!(blobs.finish(id).unwrap_err().code, "blob_finished");
        assert_eq!(blobs.get(99).unwrap_err().code, "unknown_blob");
    }

    #[test]
    fn every_limit_holds() {
        let blobs = Blobs::new(BlobLimits { max_blob_bytes: 10, max_total_bytes: 25, max_blobs: 3 });
        let id = blobs.create().unwrap();
        blobs.append(id, &[0; 10]).unwrap();
        assert_eq!(blobs.append(id, &[0; 1]).unwrap_err().code, "blob_too_large");
        let next = blobs.create().unwrap();
        blobs.append(next, &[0; 10]).unwrap();
        assert_eq!(blobs.add(Blob::from_bytes(vec![0; 9])).unwrap_err().code, "page_full");
        blobs.create().unwrap();
        assert_eq!(blobs.create().unwrap_err().code, "too_many_blobs");
    }
}
