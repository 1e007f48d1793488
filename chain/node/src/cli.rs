//! Command line.

use crate::{
	chain_spec,
	service::{self, Offline},
};
use phala_runtime::{currency, opaque::Block};
use sc_cli::SubstrateCli;
use sp_core::crypto::set_default_ss58_version;

/// The chain node of the network.
#[derive(Debug, clap::Parser)]
pub struct Cli {
	#[command(subcommand)]
	subcommand: Option<Subcommand>,

	#[command(flatten)]
	run: sc_cli::RunCmd,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
	/// Manage keys.
	#[command(subcommand)]
	Key(sc_cli::KeySubcommand),

	/// Print a chain's specification.
	ExportChainSpec(sc_cli::ExportChainSpecCmd),

	/// Remove a chain's database.
	PurgeChain(sc_cli::PurgeChainCmd),

	/// Execute a block of the database again.
	CheckBlock(sc_cli::CheckBlockCmd),

	/// Write blocks of the database into a file.
	ExportBlocks(sc_cli::ExportBlocksCmd),

	/// Import the blocks of a file.
	ImportBlocks(sc_cli::ImportBlocksCmd),

	/// Give up the newest blocks that are not final.
	Revert(sc_cli::RevertCmd),

	/// Say how far the database is.
	ChainInfo(sc_cli::ChainInfoCmd),
}

impl SubstrateCli for Cli {
	fn impl_name() -> String {
		"Phala Node".into()
	}

	fn impl_version() -> String {
		env!("CARGO_PKG_VERSION").into()
	}

	fn description() -> String {
		env!("CARGO_PKG_DESCRIPTION").into()
	}

	fn author() -> String {
		env!("CARGO_PKG_AUTHORS").into()
	}

	fn support_url() -> String {
		"see README.md".into()
	}

	fn copyright_start_year() -> i32 {
		2026
	}

	fn load_spec(&self, id: &str) -> Result<Box<dyn sc_service::ChainSpec>, String> {
		Ok(match id {
			"dev" => Box::new(chain_spec::development()?),
			"" | "local" => Box::new(chain_spec::local()?),
			"staging" => Box::new(chain_spec::staging()?),
			path => Box::new(chain_spec::ChainSpec::from_json_file(path.into())?),
		})
	}
}

/// Does what the command line asks for.
pub fn run() -> sc_cli::Result<()> {
	// Addresses and public keys in the log and of `key inspect` are as everywhere in the network.
	set_default_ss58_version(currency::SS58_PREFIX.into());
	let cli = Cli::from_args();
	match &cli.subcommand {
		Some(Subcommand::Key(command)) => command.run(&cli),
		Some(Subcommand::ExportChainSpec(command)) => {
			let spec = cli.load_spec(&command.chain)?;
			command.run(spec)
		}
		Some(Subcommand::PurgeChain(command)) => {
			let runner = cli.create_runner(command)?;
			runner.sync_run(|config| command.run(config.database))
		}
		Some(Subcommand::CheckBlock(command)) => cli.create_runner(command)?.async_run(|config| {
			let Offline { client, queue, task_manager, .. } = Offline::open(&config)?;
			Ok((command.run(client, queue), task_manager))
		}),
		Some(Subcommand::ExportBlocks(command)) => {
			cli.create_runner(command)?.async_run(|config| {
				let Offline { client, task_manager, .. } = Offline::open(&config)?;
				Ok((command.run(client, config.database), task_manager))
			})
		}
		Some(Subcommand::ImportBlocks(command)) => {
			cli.create_runner(command)?.async_run(|config| {
				let Offline { client, queue, task_manager, .. } = Offline::open(&config)?;
				Ok((command.run(client, queue), task_manager))
			})
		}
		Some(Subcommand::Revert(command)) => cli.create_runner(command)?.async_run(|config| {
			let Offline { client, backend, task_manager, .. } = Offline::open(&config)?;
			let consensus = Box::new(service::revert_consensus);
			Ok((command.run(client, backend, Some(consensus)), task_manager))
		}),
		Some(Subcommand::ChainInfo(command)) => {
			cli.create_runner(command)?.sync_run(|config| command.run::<Block>(&config))
		}
		None => {
			let runner = cli.create_runner(&cli.run)?;
			runner.run_node_until_exit(|config| async move {
				service::start(config).map_err(sc_cli::Error::Service)
			})
		}
	}
}
