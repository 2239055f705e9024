//! Refreshes and candidates: generations made from what is published and what was fetched again.

use keystart_core::{Out, answer, guard, handle, keystart_bytes, keystart_draft, keystart_error, keystart_writer};
use keystart_store::{RefreshResult, Watch};

use crate::milliseconds;
use crate::plan::keystart_plan;

/// Sets the plan whose entries a writer refreshes. Call it before the first publish. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_watch(
    writer: *const keystart_writer,
    plan: *const keystart_plan,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (writer, keystart_plan(plan)) = (handle(writer, "writer")?, handle(plan, "plan")?);
            let entries = plan.entries.iter().map(|entry| (entry.name.clone(), entry.can_become_due())).collect();
            writer.lock().watch(Watch { entries, max_stale: plan.max_stale });
            Ok(())
        })
    }
}

/// Notes that a draft has all that an entry brings. A refresh replaces the secrets of these entries,
/// and keeps all others. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_draft_cover(
    draft: *const keystart_draft,
    plan: *const keystart_plan,
    index: u64,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let entry = handle(plan, "plan")?.entry(index)?;
            handle(draft, "draft")?.lock().cover(&entry.name)
        })
    }
}

/// Sets when entries are fetched again: those that a draft has, and those that failed. Times are
/// milliseconds since 1970, 0 for never. They are in freshness.json, which a publish without the
/// first one does not write. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_draft_schedule(
    draft: *const keystart_draft,
    refresh_after: i64,
    retry_after: i64,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let times = [refresh_after, retry_after].map(|at| Some(at).filter(|at| *at != 0));
            handle(draft, "draft")?.lock().schedule(times[0], times[1]);
            Ok(())
        })
    }
}

/// Publishes the generation before with the secrets of the entries that a draft covers, if a value or
/// a name has changed. `generation` is its number, or 0 if nothing is published. `changed` are the
/// names of the secrets that are new, gone, or of another version, joined by line feeds. If `lost` is
/// not empty, nothing is published: the files of these entries are not the writer's any more. Fetch
/// the entries, add them to the draft, cover them, and refresh again. The draft stays the caller's.
/// Errors: 204, 502, 503, 505, 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_refresh(
    writer: *const keystart_writer,
    draft: *const keystart_draft,
    generation: *mut u64,
    changed: *mut keystart_bytes,
    lost: *mut keystart_bytes,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let (number, changed, lost) = (Out::new(generation)?, Out::new(changed)?, Out::new(lost)?);
            let (writer, draft) = (handle(writer, "writer")?, handle(draft, "draft")?);
            let draft = draft.lock();
            let refreshed = writer.lock().refresh(&draft)?;
            let (generation, of_changed, of_lost) = match refreshed {
                RefreshResult::Published { generation, changed } => (generation, changed, Vec::new()),
                RefreshResult::Unchanged => (0, Vec::new(), Vec::new()),
                RefreshResult::Lost(entries) => (0, Vec::new(), entries),
            };
            number.put(generation);
            changed.put(keystart_bytes::lines(&of_changed));
            lost.put(keystart_bytes::lines(&of_lost));
            Ok(())
        })
    }
}

/// Makes a candidate: a generation that is not published, equal to what is published except for the
/// secrets of the entries that a draft covers. `out` is its number, or 0 if it would equal what is
/// published. The same versions get the same number, until one of these entries is published or the
/// candidate is collected. The draft stays the caller's. Errors: 204, 502, 503, 505, 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_candidate(
    writer: *const keystart_writer,
    draft: *const keystart_draft,
    out: *mut u64,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let (writer, draft) = (handle(writer, "writer")?, handle(draft, "draft")?);
            let draft = draft.lock();
            Ok(writer.lock().candidate(&draft)?.unwrap_or_default())
        })
    }
}

/// Publishes what a candidate brought: a new generation, equal to what is published except for the
/// secrets of its entries. `out` is the new number, or 0 if nothing is published: one of these
/// entries was published since, or the candidate is gone. The accepted version stays although a
/// refresh finds the version that was fetched before, until that one moves or keystart_writer_refused
/// is called. Errors: 204, 502, 503, 505, 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_accept(
    writer: *const keystart_writer,
    candidate: u64,
    out: *mut u64,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe { answer(out, err, || Ok(handle(writer, "writer")?.lock().accept(candidate)?.unwrap_or_default())) }
}

/// Notes that the accepted version of an entry was refused: the next refresh that covers the entry
/// publishes what it finds. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_refused(
    writer: *const keystart_writer,
    plan: *const keystart_plan,
    index: u64,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        guard(err, || {
            let entry = handle(plan, "plan")?.entry(index)?;
            handle(writer, "writer")?.lock().refused(&entry.name);
            Ok(())
        })
    }
}

/// Reports to readers that the deferred fetch has begun. Errors: 204, 502, 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_start(writer: *const keystart_writer, err: *mut *mut keystart_error) -> u32 {
    unsafe { guard(err, || handle(writer, "writer")?.lock().start()) }
}

/// Removes former generations and candidates whose time is over. Call it with each event. An error
/// does not keep it from removing the others. Errors: 204, 502.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_collect(writer: *const keystart_writer, err: *mut *mut keystart_error) -> u32 {
    unsafe { guard(err, || handle(writer, "writer")?.lock().collect()) }
}

/// Returns how long it takes until keystart_writer_collect has something to remove, in milliseconds;
/// UINT64_MAX if it never has. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_next_collection(
    writer: *const keystart_writer,
    out: *mut u64,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe {
        answer(out, err, || {
            let left = handle(writer, "writer")?.lock().next_collection();
            Ok(left.map_or(u64::MAX, milliseconds))
        })
    }
}

/// Returns the number of the generation that is published, or 0. It is the new one also after an
/// error that says that a generation is published. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_published(
    writer: *const keystart_writer,
    out: *mut u64,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe { answer(out, err, || Ok(handle(writer, "writer")?.lock().published().unwrap_or_default())) }
}

/// Returns whether readers can no longer find this store, because the function has removed or moved
/// it or `current`. Errors: 901.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn keystart_writer_is_gone(
    writer: *const keystart_writer,
    out: *mut u32,
    err: *mut *mut keystart_error,
) -> u32 {
    unsafe { answer(out, err, || Ok(handle(writer, "writer")?.lock().is_gone().into())) }
}
