//! The parts of a running node and how they are wired.

use crate::{development_keys, metrics, rpc};
use futures::{
	future::{ready, Ready},
	FutureExt, StreamExt,
};
use jsonrpsee::RpcModule;
use phala_runtime::{apis::RuntimeApi, opaque::Block, BlockNumber, Hash};
use sc_client_api::Backend as _;
use sc_consensus::{BlockImport, DefaultImportQueue, LongestChain};
use sc_consensus_babe::{BabeLink, BabeWorkerHandle, SlotProportion};
use sc_consensus_grandpa::{
	FinalityProofProvider, GrandpaParams, LinkHalf, SharedVoterState, VotingRulesBuilder,
};
use sc_network::{
	config::NetworkBackendType, service::traits::NetworkService, Event, NotificationService,
	ProtocolName,
};
use sc_network_sync::SyncingService;
use sc_offchain::{OffchainWorkerOptions, OffchainWorkers};
use sc_rpc::SubscriptionTaskExecutor;
use sc_service::{
	error::Error as ServiceError, BuildNetworkParams, Configuration, SpawnTasksParams, TaskManager,
	WarpSyncConfig,
};
use sc_telemetry::{Telemetry, TelemetryHandle, TelemetryWorker};
use sc_transaction_pool::TransactionPoolHandle;
use sc_transaction_pool_api::OffchainTransactionPoolFactory;
use sp_consensus_babe::SlotDuration;
use sp_keystore::KeystorePtr;
use std::{sync::Arc, time::Duration};
use substrate_prometheus_endpoint::Registry;

#[cfg(not(feature = "runtime-benchmarks"))]
type HostFunctions = sp_io::SubstrateHostFunctions;
#[cfg(feature = "runtime-benchmarks")]
type HostFunctions =
	(sp_io::SubstrateHostFunctions, frame_benchmarking::benchmarking::HostFunctions);

pub type Client =
	sc_service::TFullClient<Block, RuntimeApi, sc_executor::WasmExecutor<HostFunctions>>;
pub type Backend = sc_service::TFullBackend<Block>;
type SelectChain = LongestChain<Backend, Block>;
type TransactionPool = TransactionPoolHandle<Block, Client>;

/// A justification is kept at least this often, in blocks, so that a light client that skipped
/// headers finds one near wherever it wants to be.
const JUSTIFICATION_PERIOD: u32 = 64;

/// How long GRANDPA's messages take through the network, at a guess.
const GOSSIP_DURATION: Duration = Duration::from_millis(333);

/// The same on a development chain, which has one validator.
const GOSSIP_DURATION_ALONE: Duration = Duration::from_millis(50);

/// Starts the node that `config` describes.
pub fn start(config: Configuration) -> Result<TaskManager, ServiceError> {
	match config.network.network_backend {
		NetworkBackendType::Libp2p => start_on::<sc_network::NetworkWorker<Block, Hash>>(config),
		NetworkBackendType::Litep2p => start_on::<sc_network::Litep2pNetworkBackend>(config),
	}
}

fn start_on<N: sc_network::NetworkBackend<Block, Hash>>(
	mut config: Configuration,
) -> Result<TaskManager, ServiceError> {
	let (parts, mut telemetry, mut task_manager) = open(&config)?;
	if let Some(suri) = config.dev_key_seed.take() {
		development_keys::insert(&parts.keystore, &suri)?;
	}
	let import = build_import(&parts, &task_manager)?;
	let metrics = N::register_notification_metrics(config.prometheus_registry());
	let mut net_config = sc_network::config::FullNetworkConfiguration::<Block, Hash, N>::new(
		&config.network,
		config.prometheus_registry().cloned(),
	);
	let genesis_hash = parts.client.chain_info().genesis_hash;
	let grandpa_protocol =
		sc_consensus_grandpa::protocol_standard_name(&genesis_hash, &config.chain_spec);
	let (grandpa_protocol_config, grandpa_notifications) =
		sc_consensus_grandpa::grandpa_peers_set_config::<_, N>(
			grandpa_protocol.clone(),
			metrics.clone(),
			net_config.peer_store_handle(),
		);
	net_config.add_notification_protocol(grandpa_protocol_config);
	let warp_sync = Arc::new(sc_consensus_grandpa::warp_proof::NetworkProvider::new(
		parts.backend.clone(),
		import.grandpa_link.shared_authority_set().clone(),
		Vec::new(),
	));
	let (network, system_rpc_tx, tx_handler_controller, sync_service, _) =
		sc_service::build_network(BuildNetworkParams {
			config: &config,
			net_config,
			client: parts.client.clone(),
			transaction_pool: parts.transaction_pool.clone(),
			spawn_handle: task_manager.spawn_handle(),
			spawn_essential_handle: task_manager.spawn_essential_handle(),
			import_queue: import.queue,
			block_announce_validator_builder: None,
			warp_sync_config: Some(WarpSyncConfig::WithProvider(warp_sync)),
			block_relay: None,
			metrics,
			gap_sync_body_policy: None,
		})?;

	let voter_state = SharedVoterState::empty();
	let rpc_builder = build_rpc(
		&parts,
		import.babe_worker,
		&import.grandpa_link,
		voter_state.clone(),
		Arc::from(config.chain_spec.cloned_box()),
	);

	let is_authority = config.role.is_authority();
	let force_authoring = config.force_authoring;
	let offchain_workers = config.offchain_worker.enabled;
	let enable_grandpa = !config.disable_grandpa;
	let voting = Voting {
		// A development chain has one validator: there is nobody else whose votes take their time.
		alone: config.chain_spec.chain_type() == sc_service::ChainType::Development,
		role: config.role,
		name: config.network.node_name.clone(),
		protocol: grandpa_protocol,
		notifications: grandpa_notifications,
		state: voter_state,
	};
	let discovery = sc_authority_discovery::WorkerConfig {
		publish_non_global_ips: config.network.allow_non_globals_in_dht,
		public_addresses: config.network.public_addresses.clone(),
		// The network has no old nodes whose records lack their peer's signature.
		strict_record_validation: true,
		persisted_cache_directory: config.network.net_config_path.clone(),
		..Default::default()
	};

	sc_service::spawn_tasks(SpawnTasksParams {
		config,
		client: parts.client.clone(),
		backend: parts.backend.clone(),
		task_manager: &mut task_manager,
		keystore: parts.keystore.clone(),
		transaction_pool: parts.transaction_pool.clone(),
		rpc_builder,
		network: network.clone(),
		system_rpc_tx,
		tx_handler_controller,
		sync_service: sync_service.clone(),
		telemetry: telemetry.as_mut(),
		tracing_execute_block: None,
	})?;

	if is_authority {
		start_authoring(
			&parts,
			import.block_import,
			import.babe_link,
			sync_service.clone(),
			force_authoring,
			&task_manager,
		)?;
		start_authority_discovery(&parts, network.clone(), discovery, &task_manager);
	}
	if offchain_workers {
		start_offchain_workers(&parts, network.clone(), is_authority, &task_manager);
	}
	if let Some(registry) = &parts.prometheus {
		let keeping = metrics::keep(parts.client.clone(), parts.backend.clone(), registry.clone());
		let keeping = keeping.map(|kept| {
			if let Err(error) = kept {
				tracing::warn!("no metrics of the network's pallets: {error}");
			}
		});
		task_manager.spawn_handle().spawn_blocking("phala-metrics", None, keeping);
	}
	if enable_grandpa {
		start_voting(&parts, voting, import.grandpa_link, network, sync_service, &task_manager)?;
	}
	Ok(task_manager)
}

/// What most of the node is made of. Handles: a clone is the same.
struct Parts {
	client: Arc<Client>,
	backend: Arc<Backend>,
	keystore: KeystorePtr,
	transaction_pool: Arc<TransactionPool>,
	select_chain: SelectChain,
	prometheus: Option<Registry>,
	telemetry: Option<TelemetryHandle>,
}

impl Parts {
	/// For reports of equivocation, which a node makes of its own accord.
	fn offchain_transactions(&self) -> OffchainTransactionPoolFactory<Block> {
		OffchainTransactionPoolFactory::new(self.transaction_pool.clone())
	}
}

/// Opens the database and makes what works on it. The telemetry lives as long as it is kept.
fn open(config: &Configuration) -> Result<(Parts, Option<Telemetry>, TaskManager), ServiceError> {
	let telemetry = config
		.telemetry_endpoints
		.clone()
		.filter(|endpoints| !endpoints.is_empty())
		.map(|endpoints| -> Result<_, sc_telemetry::Error> {
			let worker = TelemetryWorker::new(16)?;
			let telemetry = worker.handle().new_telemetry(endpoints);
			Ok((worker, telemetry))
		})
		.transpose()?;

	let executor = sc_service::new_wasm_executor::<HostFunctions>(&config.executor);
	let (client, backend, keystore_container, task_manager) =
		sc_service::new_full_parts::<Block, RuntimeApi, _>(
			config,
			telemetry.as_ref().map(|(_, telemetry)| telemetry.handle()),
			executor,
			Vec::new(),
		)?;
	let client = Arc::new(client);
	let telemetry = telemetry.map(|(worker, telemetry)| {
		task_manager.spawn_handle().spawn("telemetry", None, worker.run());
		telemetry
	});
	let transaction_pool = Arc::from(
		sc_transaction_pool::Builder::new(
			task_manager.spawn_essential_handle(),
			client.clone(),
			config.role.is_authority().into(),
		)
		.with_options(config.transaction_pool.clone())
		.with_prometheus(config.prometheus_registry())
		.build(),
	);
	let parts = Parts {
		client,
		select_chain: LongestChain::new(backend.clone()),
		backend,
		keystore: keystore_container.keystore(),
		transaction_pool,
		prometheus: config.prometheus_registry().cloned(),
		telemetry: telemetry.as_ref().map(|telemetry| telemetry.handle()),
	};
	Ok((parts, telemetry, task_manager))
}

/// What the commands work on that look at a database or change it, without a network.
pub struct Offline {
	pub client: Arc<Client>,
	pub backend: Arc<Backend>,
	pub queue: DefaultImportQueue<Block>,
	pub task_manager: TaskManager,
}

impl Offline {
	/// Opens the database that `config` describes.
	pub fn open(config: &Configuration) -> Result<Self, ServiceError> {
		let (parts, _, task_manager) = open(config)?;
		let Import { queue, .. } = build_import(&parts, &task_manager)?;
		let Parts { client, backend, .. } = parts;
		Ok(Self { client, backend, queue, task_manager })
	}
}

/// Forgets what BABE and GRANDPA noted of the last blocks, which are about to be given up.
pub fn revert_consensus(
	client: Arc<Client>,
	backend: Arc<Backend>,
	blocks: BlockNumber,
) -> sc_cli::Result<()> {
	sc_consensus_babe::revert(client.clone(), backend, blocks)?;
	sc_consensus_grandpa::revert(client, blocks)?;
	Ok(())
}

/// The way of a block into the client, and what authors and voters share with it.
struct Import<I> {
	queue: DefaultImportQueue<Block>,
	block_import: I,
	babe_link: BabeLink<Block>,
	babe_worker: BabeWorkerHandle<Block>,
	grandpa_link: LinkHalf<Block, Client, SelectChain>,
}

/// A block goes through BABE's checks, then GRANDPA's, into the client.
fn build_import(
	parts: &Parts,
	task_manager: &TaskManager,
) -> Result<
	Import<impl BlockImport<Block, Error = sp_consensus::Error> + Send + Sync + 'static>,
	ServiceError,
> {
	let (grandpa_block_import, grandpa_link) = sc_consensus_grandpa::block_import(
		parts.client.clone(),
		JUSTIFICATION_PERIOD,
		&parts.client,
		parts.select_chain.clone(),
		parts.telemetry.clone(),
	)?;
	let babe_config = sc_consensus_babe::configuration(&*parts.client)?;
	let slot_duration = babe_config.slot_duration();
	let (block_import, babe_link) = sc_consensus_babe::block_import(
		babe_config,
		grandpa_block_import.clone(),
		parts.client.clone(),
		create_inherents(slot_duration),
		parts.select_chain.clone(),
		parts.offchain_transactions(),
	)?;
	let (queue, babe_worker) =
		sc_consensus_babe::import_queue(sc_consensus_babe::ImportQueueParams {
			link: babe_link.clone(),
			block_import: block_import.clone(),
			justification_import: Some(Box::new(grandpa_block_import)),
			client: parts.client.clone(),
			slot_duration,
			spawner: &task_manager.spawn_essential_handle(),
			registry: parts.prometheus.as_ref(),
			telemetry: parts.telemetry.clone(),
		})?;
	Ok(Import { queue, block_import, babe_link, babe_worker, grandpa_link })
}

type Inherents =
	(sp_consensus_babe::inherents::InherentDataProvider, sp_timestamp::InherentDataProvider);

/// What a block says of its time, by this machine's clock: the slot, and the timestamp.
fn create_inherents(
	slot_duration: SlotDuration,
) -> impl Fn(Hash, ()) -> Ready<Result<Inherents, Box<dyn std::error::Error + Send + Sync>>>
       + Clone
       + Send
       + Sync
       + 'static {
	move |_, ()| {
		let timestamp = sp_timestamp::InherentDataProvider::from_system_time();
		let slot =
			sp_consensus_babe::inherents::InherentDataProvider::from_timestamp_and_slot_duration(
				*timestamp,
				slot_duration,
			);
		ready(Ok((slot, timestamp)))
	}
}

type RpcBuilder = Box<dyn Fn(SubscriptionTaskExecutor) -> Result<RpcModule<()>, ServiceError>>;

/// Makes the JSON-RPC methods, once for each server that the node runs.
fn build_rpc(
	parts: &Parts,
	babe_worker: BabeWorkerHandle<Block>,
	grandpa_link: &LinkHalf<Block, Client, SelectChain>,
	voter_state: SharedVoterState,
	chain_spec: Arc<dyn sc_service::ChainSpec>,
) -> RpcBuilder {
	let client = parts.client.clone();
	let pool = parts.transaction_pool.clone();
	let select_chain = parts.select_chain.clone();
	let backend = parts.backend.clone();
	let keystore = parts.keystore.clone();
	let justifications = grandpa_link.justification_stream();
	let authority_set = grandpa_link.shared_authority_set().clone();
	let finality_provider =
		FinalityProofProvider::new_for_service(backend.clone(), Some(authority_set.clone()));
	Box::new(move |executor| {
		rpc::create(rpc::Deps {
			client: client.clone(),
			pool: pool.clone(),
			select_chain: select_chain.clone(),
			backend: backend.clone(),
			keystore: keystore.clone(),
			babe_worker: babe_worker.clone(),
			authority_set: authority_set.clone(),
			voter_state: voter_state.clone(),
			justifications: justifications.clone(),
			finality_provider: finality_provider.clone(),
			chain_spec: chain_spec.clone(),
			executor,
		})
		.map_err(ServiceError::Application)
	})
}

/// Makes blocks in the slots of this node's key.
fn start_authoring(
	parts: &Parts,
	block_import: impl BlockImport<Block, Error = sp_consensus::Error> + Send + Sync + 'static,
	babe_link: BabeLink<Block>,
	sync: Arc<SyncingService<Block>>,
	force_authoring: bool,
	task_manager: &TaskManager,
) -> Result<(), ServiceError> {
	let proposer_factory = sc_basic_authorship::ProposerFactory::new(
		task_manager.spawn_handle(),
		parts.client.clone(),
		parts.transaction_pool.clone(),
		parts.prometheus.as_ref(),
		parts.telemetry.clone(),
	);
	let babe = sc_consensus_babe::start_babe(sc_consensus_babe::BabeParams {
		keystore: parts.keystore.clone(),
		client: parts.client.clone(),
		select_chain: parts.select_chain.clone(),
		env: proposer_factory,
		block_import,
		sync_oracle: sync.clone(),
		justification_sync_link: sync,
		create_inherent_data_providers: create_inherents(babe_link.config().slot_duration()),
		force_authoring,
		backoff_authoring_blocks: Some(
			sc_consensus_slots::BackoffAuthoringOnFinalizedHeadLagging::default(),
		),
		babe_link,
		block_proposal_slot_portion: SlotProportion::new(0.5),
		max_block_proposal_slot_portion: None,
		telemetry: parts.telemetry.clone(),
	})?;
	task_manager.spawn_essential_handle().spawn_blocking(
		"babe",
		Some("block-authoring"),
		babe.boxed(),
	);
	Ok(())
}

/// Runs what pallets have the node do beside each block. None of them asks the web.
fn start_offchain_workers(
	parts: &Parts,
	network: Arc<dyn NetworkService>,
	is_validator: bool,
	task_manager: &TaskManager,
) {
	let made = OffchainWorkers::new(OffchainWorkerOptions {
		runtime_api_provider: parts.client.clone(),
		keystore: Some(parts.keystore.clone()),
		offchain_db: parts.backend.offchain_storage(),
		transaction_pool: Some(parts.offchain_transactions()),
		network_provider: Arc::new(network),
		is_validator,
		enable_http_requests: false,
		custom_extensions: |_| Vec::new(),
	});
	match made {
		Ok(workers) => task_manager.spawn_handle().spawn(
			"offchain-workers",
			Some("offchain-worker"),
			workers.run(parts.client.clone(), task_manager.spawn_handle()),
		),
		// They cannot be made without the system's root certificates, which they would not use.
		Err(error) => tracing::warn!("no offchain workers: {error}"),
	}
}

/// Validators publish where they can be reached, and keep in touch with each other.
fn start_authority_discovery(
	parts: &Parts,
	network: Arc<dyn NetworkService>,
	config: sc_authority_discovery::WorkerConfig,
	task_manager: &TaskManager,
) {
	let dht_events = network
		.event_stream("authority-discovery")
		.filter_map(|event| async move {
			match event {
				Event::Dht(event) => Some(event),
				_ => None,
			}
		})
		.boxed();
	let (authority_discovery, _) = sc_authority_discovery::new_worker_and_service_with_config(
		config,
		parts.client.clone(),
		Arc::new(network),
		dht_events,
		sc_authority_discovery::Role::PublishAndDiscover(parts.keystore.clone()),
		parts.prometheus.clone(),
		task_manager.spawn_handle(),
	);
	task_manager.spawn_handle().spawn(
		"authority-discovery",
		Some("networking"),
		authority_discovery.run(),
	);
}

/// How this node takes part in finality.
struct Voting {
	/// No other validator is there.
	alone: bool,
	role: sc_service::Role,
	name: String,
	protocol: ProtocolName,
	notifications: Box<dyn NotificationService>,
	state: SharedVoterState,
}

/// Votes for blocks if this node is a validator, else follows the votes.
fn start_voting(
	parts: &Parts,
	voting: Voting,
	link: LinkHalf<Block, Client, SelectChain>,
	network: Arc<dyn NetworkService>,
	sync: Arc<SyncingService<Block>>,
	task_manager: &TaskManager,
) -> Result<(), ServiceError> {
	let Voting { alone, role, name, protocol, notifications, state } = voting;
	let voter = sc_consensus_grandpa::run_grandpa_voter(GrandpaParams {
		config: sc_consensus_grandpa::Config {
			gossip_duration: if alone { GOSSIP_DURATION_ALONE } else { GOSSIP_DURATION },
			justification_generation_period: JUSTIFICATION_PERIOD,
			name: Some(name),
			observer_enabled: false,
			keystore: role.is_authority().then(|| parts.keystore.clone()),
			local_role: role,
			telemetry: parts.telemetry.clone(),
			protocol_name: protocol,
		},
		link,
		network,
		sync,
		notification_service: notifications,
		// One validator has nobody to wait for. The default rules stay two blocks behind the best.
		voting_rule: if alone {
			VotingRulesBuilder::new().build()
		} else {
			VotingRulesBuilder::default().build()
		},
		prometheus_registry: parts.prometheus.clone(),
		shared_voter_state: state,
		telemetry: parts.telemetry.clone(),
		offchain_tx_pool_factory: parts.offchain_transactions(),
	})?;
	task_manager.spawn_essential_handle().spawn_blocking("grandpa-voter", None, voter);
	Ok(())
}
