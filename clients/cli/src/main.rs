//! # `phala`: the command line of the network
//!
//! | command | does |
//! |---|---|
//! | [`phala network up`](commands::network), `network new` | a whole development network on this machine; the beginnings of one with value |
//! | [`phala dev`](commands::dev) | the agent of one folder on this machine, without a chain |
//! | [`phala new`](commands::new), [`build`](commands::build), [`deploy`](commands::deploy) | an agent, from its folder to the workers of a cluster |
//! | [`phala agent`](commands::agent), [`secrets`](commands::secrets), [`logs`](commands::logs) | what its owner does with it |
//! | [`phala call`](commands::call), [`request`](commands::request) | asks an agent, directly or through the chain |
//! | [`phala verify`](commands::verify) | checks an answer's proof, offline |
//! | [`phala account`](commands::account) | accounts of this machine, and their PHA |
//! | [`phala cluster`](commands::cluster), [`gatekeeper`](commands::gatekeeper), [`worker`](commands::worker), [`validator`](commands::validator), [`status`](commands::status) | what owners of clusters and operators do |
//! | [`phala schema`](commands::schema) | what commands tell programs |
//!
//! Results go to stdout, everything else to stderr. With `--json` a result is one line of JSON of the type
//! that [`output::schemas`] names for the command, and an error is
//! `{"error": {"code": "…", "message": "…"}}`: see [`failure`]. It ends with 0 when all went well, 1 when
//! something was refused or failed, 2 when it was called wrongly.

#![deny(unsafe_code)]
// They panic when nobody reads: see `terminal`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

// First, for its macros.
#[macro_use]
mod failure;
#[macro_use]
mod terminal;

mod accounts;
mod calls;
mod chain;
mod commands;
mod conversation;
mod deployed;
mod deployment;
#[cfg(test)]
mod documented;
mod interrupt;
mod limits;
mod names;
mod output;
mod presence;
mod proof;
mod randomness;
mod steps;
mod types;
mod worker_client;

use anyhow::Context;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "phala", version, about = "The command line of the network")]
struct Arguments {
	/// Results, and errors, as one line of JSON on stdout.
	#[arg(long, global = true)]
	json: bool,

	#[command(subcommand)]
	command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
	/// A whole network on this machine, for development; or the beginnings of one with value.
	#[command(subcommand)]
	Network(commands::network::Command),
	/// Runs the agent of one folder on this machine, without a chain.
	Dev(commands::dev::Arguments),
	/// Makes the beginnings of an agent.
	New(commands::new::Arguments),
	/// Builds an agent.
	Build(commands::build::Arguments),
	/// Builds an agent, registers it and uploads it to every worker of its cluster.
	Deploy(commands::deploy::Arguments),
	/// Asks an agent, and checks the answer's proof.
	Call(commands::call::Arguments),
	/// What became of a request.
	#[command(subcommand)]
	Request(commands::request::Command),
	/// What an agent logged, for its owner.
	Logs(commands::logs::Arguments),
	/// What an agent's owner gives it, sealed.
	#[command(subcommand)]
	Secrets(commands::secrets::Command),
	/// Checks an answer that `phala call --save` wrote, offline.
	Verify(commands::verify::Arguments),
	/// What the chain knows of an agent, and what its owner changes.
	#[command(subcommand)]
	Agent(commands::agent::Command),
	/// Accounts of this machine, and their PHA.
	#[command(subcommand)]
	Account(commands::account::Command),
	/// Groups of workers that keep the same agents.
	#[command(subcommand)]
	Cluster(commands::cluster::Command),
	/// Who makes and keeps the master key.
	#[command(subcommand)]
	Gatekeeper(commands::gatekeeper::Command),
	/// What a worker says of itself.
	Status(commands::status::Arguments),
	/// What a worker's operator does.
	#[command(subcommand)]
	Worker(commands::worker::Command),
	/// What a command tells with --json, as JSON Schema.
	Schema(commands::schema::Arguments),
	/// What who runs a validator does.
	#[command(subcommand)]
	Validator(commands::validator::Command),
}

fn main() -> ExitCode {
	let arguments = match Arguments::try_parse() {
		Ok(arguments) => arguments,
		Err(error) => return failure::of_arguments(error),
	};
	let json = arguments.json;
	let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
	let runtime = match runtime.context("the system gives no threads") {
		Ok(runtime) => runtime,
		Err(error) => return failed(&error, json),
	};
	if !matches!(arguments.command, Command::Network(_) | Command::Dev(_)) {
		interrupt::arm(json);
	}
	let done = runtime.block_on(async {
		match arguments.command {
			Command::Network(network) => commands::network::run(network, json).await,
			Command::Dev(dev) => commands::dev::run(dev, json).await,
			Command::New(new) => commands::new::run(new, json).await,
			Command::Build(build) => commands::build::run(build, json).await,
			Command::Deploy(deploy) => commands::deploy::run(deploy, json).await,
			Command::Call(call) => commands::call::run(call, json).await,
			Command::Request(request) => commands::request::run(request, json).await,
			Command::Logs(logs) => commands::logs::run(logs, json).await,
			Command::Secrets(secrets) => commands::secrets::run(secrets, json).await,
			Command::Verify(verify) => commands::verify::run(verify, json).await,
			Command::Agent(agent) => commands::agent::run(agent, json).await,
			Command::Account(account) => commands::account::run(account, json).await,
			Command::Cluster(cluster) => commands::cluster::run(cluster, json).await,
			Command::Gatekeeper(gatekeeper) => commands::gatekeeper::run(gatekeeper, json).await,
			Command::Status(status) => commands::status::run(status, json).await,
			Command::Worker(worker) => commands::worker::run(worker, json).await,
			Command::Schema(schema) => commands::schema::run(schema, json).await,
			Command::Validator(validator) => commands::validator::run(validator, json).await,
		}
	});
	// A build of an agent that was interrupted is not waited for.
	runtime.shutdown_background();
	done.unwrap_or_else(|error| failed(&error, json))
}

fn failed(error: &anyhow::Error, json: bool) -> ExitCode {
	if error.is::<output::UnreadError>() {
		return ExitCode::SUCCESS;
	}
	if json {
		failure::print(error);
	}
	// It may quote what workers and nodes said.
	say!("error: {}", terminal::lines(&format!("{error:#}")));
	ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
	use super::*;
	use clap::CommandFactory;

	fn parse(line: &str) -> Result<Arguments, clap::Error> {
		Arguments::try_parse_from(line.split_whitespace())
	}

	#[test]
	fn the_arguments_are_well_formed() {
		Arguments::command().debug_assert();
	}

	fn up(line: &str) -> (bool, commands::network::Arguments) {
		let parsed = parse(line).unwrap();
		let Command::Network(commands::network::Command::Up(up)) = parsed.command else {
			panic!("{line} is network up")
		};
		(parsed.json, up)
	}

	#[test]
	fn a_network_takes_free_ports_and_two_workers_unless_told() {
		let (_, plain) = up("phala network up");
		let choices = (plain.workers, plain.port_base, plain.once, plain.verbose);
		assert_eq!(choices, (2, None, false, false));
		let (json, told) = up("phala network up --once --json --workers 1 --port-base 9000");
		assert_eq!((json, told.workers, told.port_base, told.once), (true, 1, Some(9_000), true));
	}

	#[test]
	fn a_network_refuses_a_number_of_workers_without_operators_and_ports_past_the_last() {
		assert!(parse("phala network up --workers 0").is_err());
		assert!(parse("phala network up --workers 3").is_ok());
		assert!(parse("phala network up --workers 4").is_err());
		assert!(parse("phala network up --port-base 65400").is_ok());
		assert!(parse("phala network up --port-base 65535").is_err());
		assert!(parse("phala network up --port-base 80").is_err());
	}

	#[test]
	fn dev_takes_a_folder_and_what_a_build_takes_and_nothing_of_a_network() {
		let dev = |line: &str| match parse(line).unwrap().command {
			Command::Dev(dev) => dev,
			_ => panic!("{line} is dev"),
		};
		let plain = dev("phala dev");
		assert_eq!((plain.build.folder.to_str(), plain.port), (Some("."), None));
		let told = dev("phala dev riddle --no-check --port 0 --allow-loopback 127.0.0.1:1");
		assert_eq!(told.build.folder.to_str(), Some("riddle"));
		assert!(told.build.no_check && told.port == Some(0) && told.allow_loopback.len() == 1);
		assert!(parse("phala dev --once").is_err());
	}

	#[test]
	fn whatever_seals_or_opens_takes_the_chain_that_is_trusted() {
		let id = "11".repeat(32);
		for command in [
			format!("phala call {id}"),
			format!("phala secrets set {id} KEY"),
			format!("phala secrets remove {id} KEY"),
			format!("phala request status {id}"),
		] {
			assert!(parse(&format!("{command} --genesis 0x{id}")).is_ok(), "{command}");
			assert!(parse(&format!("{command} --genesis 0x11")).is_err(), "{command}");
		}
	}

	#[test]
	fn verify_takes_what_is_expected() {
		let id = "11".repeat(32);
		let verify = format!("phala verify a.json --genesis {id}");
		let expected = format!("--agent {id} --caller 0x{id} --max-age 10 --min-block 7");
		assert!(parse(&format!("{verify} {expected}")).is_ok());
		assert!(parse(&format!("{verify} --max-age -1")).is_err());
	}

	#[test]
	fn deploy_goes_on_with_an_agent_or_makes_a_new_one_but_not_both() {
		let agent = "11".repeat(32);
		assert!(parse(&format!("phala deploy --agent {agent}")).is_ok());
		assert!(parse("phala deploy --new").is_ok());
		assert!(parse(&format!("phala deploy --new --agent {agent}")).is_err());
	}

	#[test]
	fn status_needs_a_worker_and_a_measurement_is_given_or_asked_for_but_not_both() {
		assert!(parse("phala status").is_err());
		assert!(parse("phala status --worker http://127.0.0.1:8000 --json").unwrap().json);
		assert!(parse("phala worker register --operator //Eve").is_ok());
		assert!(parse("phala worker register --account eve --node ws://a").is_ok());
		assert!(parse("phala worker register --operator //Eve --account eve").is_err());
		let measurement = "11".repeat(32);
		let allow = "phala worker allow-measurement";
		assert!(parse(allow).is_err());
		assert!(parse(&format!("{allow} --measurement 0x{measurement}")).is_ok());
		assert!(parse(&format!("{allow} --measurement {measurement}22")).is_err());
		assert!(parse(&format!("{allow} --measurement {measurement} --pruntime x")).is_err());
	}
}
