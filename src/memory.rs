//! An allocator that overwrites every block with zeroes before it is freed.
//!
//! An address, a user agent or a cookie passes through buffers of the HTTP library, header maps,
//! strings and tables on its way to a keyed hash. A freed block keeps its bytes until the memory is
//! used again, which on a quiet collector can take hours. Wiping each copy where it is made would
//! need support by every library; wiping all freed memory needs none.
//!
//! Measured on blocks that were just written: wiping up to 256 bytes costs less than the noise of
//! an allocation (about 15 ns), 1 KiB costs 5 to 10 ns, 8 KiB 0.4 microseconds.
//! `tests/attacks/core_dump.mjs` counts what remains.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;

/// Bytes from which on whole pages are returned to the system, which replaces them with zeroes.
/// Writing to them would allocate pages that were never used.
const MIN_RETURNED_BYTES: usize = 1 << 20;
/// The granularity of returned memory, in bytes: a multiple of the page size of every system with
/// default settings.
const PAGE_BYTES: usize = 1 << 16;

/// An allocator around `A` that wipes every block before `A` frees it.
pub struct WipingAllocator<A>(pub A);

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe to implement; only an allocator sees every block that is freed"
)]
// SAFETY: every block comes from the inner allocator and is returned to it with the layout of the
// request. Between the two it is written to once, after its owner freed it and before the inner
// allocator gets it back.
unsafe impl<A: GlobalAlloc> GlobalAlloc for WipingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller frees a live block of this size.
        unsafe {
            wipe_block(block, layout.size());
            self.0.dealloc(block, layout);
        }
    }

    /// Always moves the block, because the inner allocator would free the old block, or its end,
    /// without wiping it.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees a size that makes a valid layout. Both blocks are live and
        // do not overlap, and the shorter length is within both.
        unsafe {
            let moved = self
                .0
                .alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// Overwrites `size` bytes from `block` on. The caller must own them.
#[expect(unsafe_code, reason = "the block is raw memory")]
unsafe fn wipe_block(block: *mut u8, size: usize) {
    // SAFETY: the caller owns `size` bytes from `block` on; both offsets are within them.
    unsafe {
        let (head, pages) = if size < MIN_RETURNED_BYTES {
            (size, 0)
        } else {
            whole_pages(block as usize, size)
        };
        let given_back = pages > 0 && return_pages(block.add(head), pages);
        if given_back {
            block.write_bytes(0, head);
            block.add(head + pages).write_bytes(0, size - head - pages);
        } else {
            block.write_bytes(0, size);
        }
    }
    // Nothing reads the block again, so without this the compiler could remove the writes.
    black_box(block);
}

/// The number of bytes before the first whole page, and the number of bytes in whole pages.
fn whole_pages(start: usize, size: usize) -> (usize, usize) {
    let head = start.next_multiple_of(PAGE_BYTES) - start;
    (head, (size - head) / PAGE_BYTES * PAGE_BYTES)
}

/// Returns pages to the system. `false` if the system does not take them (locked pages); they are
/// then unchanged.
#[expect(unsafe_code, reason = "madvise takes a raw range")]
unsafe fn return_pages(pages: *mut u8, size: usize) -> bool {
    // SAFETY: the caller owns the range and does not need its contents.
    unsafe { rustix::mm::madvise(pages.cast(), size, rustix::mm::Advice::LinuxDontNeed).is_ok() }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Bytes that were not zero when their block was freed.
        static LEFT: Cell<usize> = const { Cell::new(0) };
    }

    /// An allocator that counts what was not wiped in the blocks it gets back.
    struct Looking;

    #[expect(unsafe_code, reason = "an allocator is unsafe to write")]
    // SAFETY: the system's allocator, called with the layouts of the requests.
    unsafe impl GlobalAlloc for Looking {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the block is live and was written to whole.
            unsafe {
                let bytes = std::slice::from_raw_parts(block, layout.size());
                LEFT.set(LEFT.get() + bytes.iter().filter(|byte| **byte != 0).count());
                System.dealloc(block, layout);
            }
        }
    }

    #[expect(unsafe_code, reason = "the test calls the allocator directly")]
    fn left_of(size: usize, end: impl FnOnce(&WipingAllocator<Looking>, *mut u8, Layout)) -> usize {
        LEFT.set(0);
        let layout = Layout::from_size_align(size, 8).unwrap();
        let wiping = WipingAllocator(Looking);
        // SAFETY: the layout is of this size, and what comes of it is written before it is read.
        let block = unsafe {
            let block = wiping.alloc(layout);
            block.write_bytes(7, size);
            block
        };
        end(&wiping, block, layout);
        LEFT.get()
    }

    #[test]
    #[expect(unsafe_code, reason = "the test calls the allocator directly")]
    fn what_is_freed_is_zero_whatever_its_size() {
        for size in [
            1,
            7,
            64,
            4096,
            MIN_RETURNED_BYTES - 1,
            MIN_RETURNED_BYTES,
            MIN_RETURNED_BYTES + PAGE_BYTES + 5,
            5 * MIN_RETURNED_BYTES,
        ] {
            // SAFETY: the block is freed once, with its own layout.
            let left = left_of(size, |wiping, block, layout| unsafe {
                wiping.dealloc(block, layout)
            });
            assert_eq!(left, 0, "{size}");
        }
    }

    #[test]
    #[expect(unsafe_code, reason = "the test calls the allocator directly")]
    fn a_block_that_grows_or_shrinks_keeps_its_bytes_and_leaves_none_behind() {
        for (size, new) in [
            (64, 4096),
            (4096, 64),
            (2 * MIN_RETURNED_BYTES, 3 * MIN_RETURNED_BYTES),
        ] {
            let left = left_of(size, |wiping, block, layout| {
                // SAFETY: the block is live; the moved block is freed once, with its own layout.
                unsafe {
                    let moved = wiping.realloc(block, layout, new);
                    let kept = std::slice::from_raw_parts(moved, size.min(new));
                    assert!(kept.iter().all(|byte| *byte == 7), "{size} to {new}");
                    moved.write_bytes(7, new);
                    wiping.dealloc(moved, Layout::from_size_align(new, 8).unwrap());
                }
            });
            assert_eq!(left, 0, "{size} to {new}");
        }
    }
}
