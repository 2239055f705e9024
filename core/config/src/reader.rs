//! What a reading of a configuration depends on, besides its text.

use crate::entries::Context;
use crate::references::Values;
use crate::schema::Schemas;

/// Reads configurations that may name these providers.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// What the entries of each provider may say.
    pub schemas: Schemas,
    /// What `${NAME}` in ids takes.
    pub values: Values<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) fn context(&self, region: Option<&'a str>) -> Context<'a> {
        Context { schemas: self.schemas, region, values: self.values }
    }
}
