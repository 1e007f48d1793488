//! `phala dev`: for one agent in its folder. That is still to come; until then it says so and starts a
//! whole network, as [`phala network up`](super::network) does.

use super::network;
use std::process::ExitCode;

/// # Errors
/// As [`network::up`].
pub async fn run(arguments: network::Arguments, json: bool) -> anyhow::Result<ExitCode> {
	eprintln!(
		"`phala dev` will run the agent of the current folder, built anew at each change, without a chain. It cannot yet: this starts a whole network, as `phala network up` does."
	);
	network::up(arguments, json).await
}
