//! `cargo xtask run`: builds the server and keeps it in the foreground until Ctrl-C.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::{
    api::Api,
    components,
    demo::{self, Admin},
    process::{self, Daemon, step},
    project,
    services::Services,
};

/// A first start compiles the components and creates the database.
const READY_WITHIN: Duration = Duration::from_secs(120);

pub(crate) struct Options {
    pub(crate) demo: bool,
    pub(crate) postgres: bool,
    pub(crate) release: bool,
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) serve_args: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            demo: false,
            postgres: false,
            release: false,
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: project::root().join("data"),
            serve_args: Vec::new(),
        }
    }
}

impl Options {
    /// Where the hosts listen: two for the shape with PostgreSQL, the second one port further.
    fn addresses(&self) -> Result<Vec<SocketAddr>> {
        let mut addresses = vec![self.listen];
        if self.postgres {
            let port = self.listen.port().checked_add(1).context("the second host needs the port after --listen")?;
            addresses.push(SocketAddr::new(self.listen.ip(), port));
        }
        Ok(addresses)
    }
}

pub(crate) fn run(options: Options) -> Result<()> {
    // What can stop us comes before the long build.
    for address in options.addresses()? {
        TcpListener::bind(address).with_context(|| {
            format!("cannot listen on {address}: stop what listens there, or choose another address with --listen")
        })?;
    }
    if options.postgres {
        Services::ensure_installed()?;
    }
    components::build(components::PRODUCT)?;
    step("building the server (the first time takes minutes)");
    let mut cargo = project::cargo(["build", "--package", "tributary"]);
    if options.release {
        cargo.arg("--release");
    }
    process::run(&mut cargo)?;
    if options.postgres { on_services(&options) } else { embedded(&options) }
}

/// One host with everything in its data directory.
fn embedded(options: &Options) -> Result<()> {
    create_private_dir(&options.data_dir)?;
    let admin = options.demo.then(|| Admin::load_or_create(&options.data_dir)).transpose()?;
    let mut command = serve(options, options.listen, &options.data_dir, admin.as_ref());
    step("starting the server (Ctrl-C stops it)");
    let host = start(&mut command)?;
    finish(options, vec![host], admin)
}

/// The shape of docker-compose.yml as plain processes: two hosts share a PostgreSQL and a Redis.
fn on_services(options: &Options) -> Result<()> {
    let services = Services::start()?;
    let mut admin = None;
    let mut hosts = Vec::new();
    for (listen, number) in options.addresses()?.into_iter().zip(1..) {
        let data_dir = services.private_dir().join(format!("host-{number}"));
        create_private_dir(&data_dir)?;
        if options.demo && admin.is_none() {
            admin = Some(Admin::load_or_create(&data_dir)?);
        }
        let mut command = serve(options, listen, &data_dir, admin.as_ref());
        // They carry passwords, and everybody may read a process's arguments.
        command.env("TRIBUTARY_DATABASE_URL", &services.database_url).env("TRIBUTARY_REDIS_URL", &services.redis_url);
        // The first host makes it.
        command.env("TRIBUTARY_MASTER_KEY_FILE", services.private_dir().join("master.key"));
        step(&format!("starting host {number} of 2 on http://{listen} (Ctrl-C stops both; nothing is kept)"));
        let mut host = start(&mut command)?;
        let api = Api::new(&listen.to_string());
        host.wait_until(READY_WITHIN, || api.ready())?;
        hosts.push(host);
    }
    // Ends the hosts before the services they use.
    finish(options, hosts, admin)
}

fn finish(options: &Options, mut hosts: Vec<Daemon>, admin: Option<Admin>) -> Result<()> {
    if let Some(admin) = admin {
        let mut api = Api::new(&options.listen.to_string());
        hosts[0].wait_until(READY_WITHIN, || api.ready())?;
        demo::play(&mut api, &admin)?;
        step(&format!(
            "the server keeps running on {0}, with its console at {0}/console (Ctrl-C stops it)",
            api.base()
        ));
    }
    match process::supervise(&mut hosts) {
        Err(error) if error.is::<process::Interrupted>() => Ok(()), // the way this command is meant to end
        other => other,
    }
}

fn serve(options: &Options, listen: SocketAddr, data_dir: &Path, admin: Option<&Admin>) -> Command {
    let mut command = process::tethered(&project::server(options.release), Signal::TERM);
    command.arg("serve").args(["--listen", &listen.to_string()]).arg("--data-dir").arg(data_dir);
    if let Some(admin) = admin {
        command.args(["--root", &format!("docs={}", project::root().join("docs").display())]);
        command.envs(admin.env());
    }
    command.args(&options.serve_args);
    command
}

fn start(command: &mut Command) -> Result<Daemon> {
    Daemon::start("the server", Signal::TERM, command)
}

fn create_private_dir(path: &Path) -> Result<()> {
    let mut dir = fs::DirBuilder::new();
    dir.recursive(true).mode(0o700).create(path).with_context(|| format!("cannot create {}", path.display()))
}
