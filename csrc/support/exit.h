// Note [Process exit]
// Worker threads of ours (streams, the compile thread) run in libraries whose static objects die when the process exits, in the reverse order
// of their construction: a handler of atexit() would come too late for what was constructed after it. But exit() destroys the thread-local
// objects of its thread before any static object. So the thread that loads the library owns one such object, and its destructor stops
// the workers. A process that ends by exit() on another thread has only atexit(). A forked child stops nothing: it has no workers.
#pragma once

#include <functional>
#include <future>

namespace torch_hpu {

// Calls `stop` once when the process exits. It has to return with no worker running, and none may start afterwards.
void stop_at_exit(void (*stop)());

// Starts `job` on a thread of its own, which the process waits for when it exits. When no thread can be started (any more), the job is run by who
// first waits for it.
std::shared_future<void> run_aside(std::function<void()> job);

// Whether this thread runs such a job.
bool in_job();

// Whether the process is about to exit: a long job should end.
bool exiting();

// Until no job is left, those included that a job starts: for measurements that nothing may disturb. Not for jobs.
void wait_for_jobs();

}  // namespace torch_hpu
