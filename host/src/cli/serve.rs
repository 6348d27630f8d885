//! `tributary serve`: the server, until it is asked to stop.

use std::{future::IntoFuture, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use tokio::{net::TcpListener, signal::unix};

use crate::{app::App, auth::FirstAdmin, http, settings::Settings, telemetry};

/// How long open requests get to finish.
const DRAIN: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: Settings,

    /// Password of the first administrator, used on the first start only; one is made and printed when absent
    #[arg(long, env = "TRIBUTARY_ADMIN_PASSWORD", value_name = "PASSWORD", hide_env_values = true, hide = true)]
    admin_password: Option<SecretString>,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<()> {
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(self.serve())
    }

    async fn serve(self) -> anyhow::Result<()> {
        let config = self.settings.resolve()?;
        telemetry::init(&config)?;
        let listener = TcpListener::bind(config.listen).await.with_context(|| {
            format!("cannot listen on {}; another program may have it: choose another with --listen", config.listen)
        })?;
        let address = listener.local_addr()?;
        let app = App::open(config).await?;
        let admin = app.bootstrap(self.admin_password).await?;
        app.start().await?;
        greet(address, admin.as_ref());

        let stopping = app.stopping();
        tokio::spawn({
            let stopping = stopping.clone();
            async move {
                asked_to_stop().await;
                tracing::info!("stopping");
                stopping.cancel();
            }
        });
        let service = http::router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let server = axum::serve(listener, service).with_graceful_shutdown(stopping.clone().cancelled_owned());
        let drained = async {
            stopping.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        let result = tokio::select! {
            result = server.into_future() => result.context("the server failed"),
            () = drained => Ok(()),
        };
        shut_down(&app).await;
        result
    }
}

async fn shut_down(app: &Arc<App>) {
    app.stop().await;
    tracing::info!("stopped");
}

/// Ctrl-C, or what a service manager sends.
async fn asked_to_stop() {
    let terminate = async {
        match unix::signal(unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate => {}
    }
}

/// What to do next, on standard output; logs go to standard error.
fn greet(address: SocketAddr, admin: Option<&FirstAdmin>) {
    println!(
        "\nTributary listens on http://{address}  (console: http://{address}/console, API reference: http://{address}/docs)"
    );
    let (email, password) = match admin {
        Some(admin) => {
            println!("\nThe first administrator:");
            println!("  e-mail    {}", admin.user.email);
            match &admin.password {
                Some(password) => println!("  password  {}   (shown once: keep it)", password.expose_secret()),
                None => println!("  password  the one you gave"),
            }
            let password = admin.password.as_ref().map_or("YOUR PASSWORD", |password| password.expose_secret());
            (admin.user.email.as_str(), password)
        }
        None => ("YOUR E-MAIL", "YOUR PASSWORD"),
    };
    println!("\nLog in at the console, or with:");
    println!(
        "  curl -s http://{address}/api/v1/auth/login -H 'content-type: application/json' -d '{{\"email\":\"{email}\",\"password\":\"{password}\"}}'\n"
    );
}
