//! An extractor whose calls are counted.

use std::sync::Arc;

use async_trait::async_trait;
use tributary_core::{
    contract::{Extracted, Failure},
    hash::Sha256Hash,
};
use tributary_sandbox::{Blob, Extractor, ExtractorWorker};

use super::Metrics;

/// The name of the extractor among the components.
const COMPONENT: &str = "extractor";

struct Counted {
    extractor: Arc<dyn Extractor>,
    metrics: Metrics,
}

struct CountedWorker {
    worker: Box<dyn ExtractorWorker>,
    metrics: Metrics,
}

/// The same extractor, counted.
pub(crate) fn counted(extractor: Arc<dyn Extractor>, metrics: &Metrics) -> Arc<dyn Extractor> {
    Arc::new(Counted { extractor, metrics: metrics.clone() })
}

impl Extractor for Counted {
    fn digest(&self) -> Sha256Hash {
        self.extractor.digest()
    }

    fn worker(&self) -> Box<dyn ExtractorWorker> {
        Box::new(CountedWorker { worker: self.extractor.worker(), metrics: self.metrics.clone() })
    }
}

#[async_trait]
impl ExtractorWorker for CountedWorker {
    async fn extract(&mut self, blob: &Blob, media_type: &str, name: Option<&str>) -> Result<Extracted, Failure> {
        let extracted = self.worker.extract(blob, media_type, name).await;
        self.metrics.call(COMPONENT, &extracted);
        extracted
    }
}
