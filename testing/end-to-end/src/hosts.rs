//! Two hosts on one machine: network namespaces, each with its own loopback, ports and addresses,
//! joined by a cable and by nothing else. To make them takes root and `ip`.

use anyhow::{ensure, Context};
use nix::{sys::signal::kill, unistd::Pid};
use phala_devnet::{Process, Supervisor};
use std::{
	path::{Path, PathBuf},
	process::Command,
};

/// Where each is reached by the other.
pub const ADDRESSES: [&str; 2] = ["10.77.0.1", "10.77.0.2"];

/// What their names begin with, before the id of the process that made them.
const PREFIX: &str = "phala-test-";

/// Removed when this is dropped; after kill -9, by the next that are made.
pub struct Hosts {
	ip: PathBuf,
	names: [String; 2],
}

impl Hosts {
	/// Makes them.
	pub fn connect() -> anyhow::Result<Self> {
		let places = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"];
		let ip = places.iter().map(PathBuf::from).find(|place| place.is_file());
		let ip = ip.context("there is no `ip` (package iproute2)")?;
		remove_abandoned(&ip)?;
		let id = std::process::id();
		let hosts = Self { ip, names: ["a", "b"].map(|host| format!("{PREFIX}{id}-{host}")) };
		for name in &hosts.names {
			hosts.run(&["netns", "add", name])?;
		}
		// Names of devices have 15 letters at most.
		let ends = ["a", "b"].map(|host| format!("ph{id}{host}"));
		let [a, b] = &ends;
		hosts.run(&["link", "add", a, "type", "veth", "peer", "name", b])?;
		for ((name, end), address) in hosts.names.iter().zip(&ends).zip(ADDRESSES) {
			hosts.run(&["link", "set", end, "netns", name])?;
			hosts.run(&["-n", name, "address", "add", &format!("{address}/24"), "dev", end])?;
			hosts.run(&["-n", name, "link", "set", end, "up"])?;
			hosts.run(&["-n", name, "link", "set", "lo", "up"])?;
		}
		Ok(hosts)
	}

	/// Starts a program on one of them.
	pub fn start(
		&self,
		supervisor: &Supervisor,
		host: usize,
		name: &str,
		program: &Path,
		arguments: &[String],
	) -> anyhow::Result<Process> {
		let on = ["netns", "exec", &self.names[host], &program.display().to_string()];
		let all = [&on.map(str::to_owned)[..], arguments].concat();
		supervisor.start_at(name, &self.ip, &all, &[])
	}

	fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
		run(&self.ip, arguments).map(drop)
	}
}

impl Drop for Hosts {
	fn drop(&mut self) {
		for name in &self.names {
			// The cable goes with its end.
			let _ = self.run(&["netns", "delete", name]);
		}
	}
}

/// Removes hosts whose process is gone.
fn remove_abandoned(ip: &Path) -> anyhow::Result<()> {
	for line in run(ip, &["netns", "list"])?.lines() {
		let name = line.split(' ').next().unwrap_or_default();
		let of = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse().ok());
		let Some(of) = of else { continue };
		if kill(Pid::from_raw(of), None).is_err() {
			run(ip, &["netns", "delete", name])?;
		}
	}
	Ok(())
}

fn run(ip: &Path, arguments: &[&str]) -> anyhow::Result<String> {
	let output = Command::new(ip).args(arguments).output()?;
	ensure!(
		output.status.success(),
		"ip {}: {}",
		arguments.join(" "),
		String::from_utf8_lossy(&output.stderr).trim()
	);
	Ok(String::from_utf8_lossy(&output.stdout).into())
}
