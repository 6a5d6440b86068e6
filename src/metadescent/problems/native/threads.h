// Threads for work that falls into independent chunks: XLA's, or those of another pool.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

namespace metadescent {

// Run every chunk, on the calling thread and on the pool's: each thread that gets one calls worker()
// for a function of its own and hands it chunks. Helpers that start too late find nothing left to do,
// so nobody waits for a thread that is busy elsewhere. The work takes microseconds to milliseconds:
// too short to sleep for its end.
template <typename Pool, typename Worker>
void for_each(Pool& pool, int64_t chunks, Worker worker) {
  struct Shared {
    Worker worker;
    const int64_t chunks;
    std::atomic<int64_t> next{0}, done{0};
    Shared(Worker worker, int64_t chunks) : worker(worker), chunks(chunks) {}
    void work() {
      int64_t chunk = next.fetch_add(1);
      if (chunk >= chunks) return;
      for (auto run = worker(); chunk < chunks; chunk = next.fetch_add(1)) {
        run(chunk);
        done.fetch_add(1);
      }
    }
  };
  auto shared = std::make_shared<Shared>(worker, chunks);
  const int64_t helpers = std::min<int64_t>(pool.num_threads(), chunks) - 1;
  for (int64_t i = 0; i < helpers; ++i) pool.Schedule([shared] { shared->work(); });
  shared->work();
  while (shared->done.load() < chunks) std::this_thread::yield();
}

}  // namespace metadescent
