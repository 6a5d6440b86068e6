// Threads for work that falls into independent chunks: XLA's, or a pool's of one call.

#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace metadescent {

// A pool of one call, for callers without XLA: its threads are started when there is first something
// for them, and have ended when it goes.
class Threads {
 public:
  explicit Threads(int64_t count) : count_(count) {}
  ~Threads() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      is_over_ = true;
      // Whoever shared it has done it by now.
      work_.clear();
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  int64_t num_threads() const { return count_; }
  void Schedule(std::function<void()> work) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      work_.push_back(std::move(work));
    }
    wake_.notify_one();
    if (static_cast<int64_t>(threads_.size()) + 1 >= count_) return;
    try {
      threads_.emplace_back([this] { serve(); });
    } catch (const std::system_error&) {  // no thread to be had: the others do its work
    }
  }

 private:
  void serve() {
    for (std::unique_lock<std::mutex> lock(mutex_);;) {
      wake_.wait(lock, [this] { return is_over_ || !work_.empty(); });
      if (is_over_) return;
      const std::function<void()> work = std::move(work_.front());
      work_.pop_front();
      lock.unlock();
      work();
      lock.lock();
    }
  }

  const int64_t count_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> work_;
  bool is_over_ = false;
  std::vector<std::thread> threads_;
};

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
