//! The `footfall` program: an allocator and a call of the command line in [`footfall::cli`].

use std::process::ExitCode;

// A hit makes many small allocations on one thread and frees them on another, which this allocator
// is designed for. It was not compared with the system's allocator. The benchmark's bare handler
// uses it too, without wiping.
#[global_allocator]
static ALLOCATOR: footfall::memory::WipingAllocator<mimalloc::MiMalloc> =
    footfall::memory::WipingAllocator(mimalloc::MiMalloc);

fn main() -> ExitCode {
    footfall::cli::main()
}
