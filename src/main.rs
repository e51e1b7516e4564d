use std::process::ExitCode;

// A hit makes many small allocations on one thread and frees them on another, which this allocator is made for. Not measured against
// the system's. The benchmark's bare handler has it too, without the wiping.
#[global_allocator]
static ALLOCATOR: footfall::memory::Wiping<mimalloc::MiMalloc> = footfall::memory::Wiping(mimalloc::MiMalloc);

fn main() -> ExitCode {
    footfall::cli::main()
}
