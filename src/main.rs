use std::process::ExitCode;

// A hit makes many small allocations on one thread and frees them on another, which this allocator is made for. Not measured against
// the system's; the bare handler of the benchmark has it too, so no ratio owes anything to it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    footfall::cli::main()
}
