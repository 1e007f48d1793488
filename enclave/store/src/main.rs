//! The process that keeps sealed pages. The enclave starts it and speaks with it over its standard
//! input and output; there is nothing in it to be asked by hand.

use clap::Parser;
use phala_store::{
	limits::CACHE_BYTES_DEFAULT,
	server::{serve, Quota, ServerConfig},
};
use std::{
	fs::File,
	io::{self, BufReader},
	os::fd::AsFd,
	path::PathBuf,
	process::exit,
};

/// Keeps sealed pages for pruntime, which starts it.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
	/// Where the pages are. One process at a time has it.
	#[arg(long)]
	folder: PathBuf,

	/// Most bytes of pages, of all agents.
	#[arg(long)]
	bytes_max: u64,

	/// Most bytes of pages of one agent.
	#[arg(long)]
	agent_bytes_max: u64,

	/// What is kept of the file in memory, in bytes.
	#[arg(long, default_value_t = CACHE_BYTES_DEFAULT)]
	cache_bytes: usize,

	/// Sets the file aside and begins an empty one.
	#[arg(long)]
	set_aside: bool,
}

fn main() -> io::Result<()> {
	let arguments = Arguments::parse();
	// Where there is no such thing, the end of the input remains.
	#[cfg(target_os = "linux")]
	let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
	let config = ServerConfig {
		folder: arguments.folder,
		quota: Quota { bytes_max: arguments.bytes_max, agent_bytes_max: arguments.agent_bytes_max },
		cache_bytes: arguments.cache_bytes,
		set_aside: arguments.set_aside,
	};
	// Without the line buffers of the standard library.
	let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
	let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
	exit(serve(&config, &mut BufReader::new(input), output)?);
}
