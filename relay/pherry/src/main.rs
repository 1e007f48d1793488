//! `pherry`: the relayer between a chain node and an enclave. See [`phala_pherry`].

use clap::Parser;
use phala_chain_client::transactions;
use phala_pherry::{
	enclave::EnclaveClient,
	relay::Relay,
	status::{self, SharedStatus},
};
use phala_protocol::text::Address;
use std::{
	io::IsTerminal,
	path::{Path, PathBuf},
	process::ExitCode,
};
use subxt_signer::sr25519::Keypair;
use tokio::{net::TcpListener, signal::unix};
use tracing_subscriber::EnvFilter;

/// The enclave has no use for a relayer any more: starting pherry again changes nothing.
const EXIT_ENDED: u8 = 3;

/// Relays between a Phala chain node and an enclave. Trusted with nothing but the operator's key,
/// which pays for registrations.
#[derive(Parser)]
#[command(name = "pherry", version)]
struct Options {
	/// The chain node's websocket address.
	#[arg(long, default_value = "ws://127.0.0.1:9944", env = "PHERRY_NODE")]
	node: String,

	/// The enclave's relay server.
	#[arg(long, default_value = "http://127.0.0.1:8100", env = "PHERRY_ENCLAVE")]
	enclave: String,

	/// The operator's sr25519 secret: a phrase, a 0x seed or, in development, //Alice. Others on
	/// this machine can see a command line: prefer the variable or --operator-file.
	#[arg(long, env = "PHERRY_OPERATOR", hide_env_values = true)]
	operator: Option<String>,

	/// A file with the operator's secret, as for --operator.
	#[arg(long, env = "PHERRY_OPERATOR_FILE", conflicts_with = "operator")]
	operator_file: Option<PathBuf>,

	/// Where to serve GET /v1/status, as host:port. Port 0 takes a free one and prints it.
	#[arg(long, env = "PHERRY_STATUS_LISTEN")]
	status_listen: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
	let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
	tracing_subscriber::fmt()
		.with_env_filter(filter)
		.with_ansi(has_colours())
		.with_writer(std::io::stderr)
		.init();
	match run(Options::parse()).await {
		Ok(code) => code,
		Err(error) => {
			tracing::error!("{error}");
			ExitCode::FAILURE
		}
	}
}

/// Where somebody looks at it and does not mind (<https://no-color.org>).
fn has_colours() -> bool {
	let minds = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
	std::io::stderr().is_terminal() && !minds
}

async fn run(options: Options) -> Result<ExitCode, StartError> {
	let operator = operator(&options)?;
	let enclave = EnclaveClient::new(&options.enclave)?;
	let shared_status = SharedStatus::default();
	if let Some(address) = &options.status_listen {
		let cannot_listen =
			|error: std::io::Error| StartError::Listen { address: address.clone(), error };
		let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
		let actual = listener.local_addr().map_err(cannot_listen)?;
		println!("status: http://{actual}{}", status::STATUS_PATH);
		tokio::spawn(status::serve(listener, shared_status.clone()));
	}
	let account = Address(operator.public_key().0);
	tracing::info!(node = options.node, enclave = options.enclave, operator = %account, "relaying");

	let relay = Relay::new(options.node, enclave, operator, shared_status);
	let mut terminate = unix::signal(unix::SignalKind::terminate()).map_err(StartError::Signal)?;
	tokio::select! {
		ended = relay.run() => {
			tracing::error!("{ended}");
			Ok(ExitCode::from(EXIT_ENDED))
		},
		_ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
		_ = terminate.recv() => Ok(ExitCode::SUCCESS),
	}
}

/// Why pherry does not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
	#[error("no operator: give its secret with --operator-file, PHERRY_OPERATOR or --operator")]
	NoOperator,
	#[error("cannot read the operator's secret from {}: {error}", .path.display())]
	OperatorFile { path: PathBuf, error: std::io::Error },
	#[error("the operator's secret was refused: {0}")]
	Operator(phala_chain_client::ChainClientError),
	#[error("cannot listen on {address}: {error}; is it host:port, and free?")]
	Listen { address: String, error: std::io::Error },
	#[error("cannot wait for signals: {0}")]
	Signal(std::io::Error),
	#[error(transparent)]
	Relay(#[from] phala_pherry::RelayError),
}

/// Some deployments cannot choose the mode of a secret's file, so it is no reason not to start.
fn warn_if_others_read(path: &Path) {
	use std::os::unix::fs::PermissionsExt;
	const OTHERS: u32 = 0o077;
	let mode = std::fs::metadata(path).map_or(0, |file| file.permissions().mode());
	if mode & OTHERS != 0 {
		let (path, mode) = (path.display(), mode & 0o777);
		tracing::warn!("{path} has the operator's secret, and others on this machine may read it (mode {mode:o}): chmod 600 {path}");
	}
}

fn operator(options: &Options) -> Result<Keypair, StartError> {
	let secret = match (&options.operator, &options.operator_file) {
		(Some(secret), _) => secret.clone(),
		(None, Some(path)) => {
			warn_if_others_read(path);
			std::fs::read_to_string(path)
				.map_err(|error| StartError::OperatorFile { path: path.clone(), error })?
		}
		(None, None) => return Err(StartError::NoOperator),
	};
	transactions::account(&secret).map_err(StartError::Operator)
}
