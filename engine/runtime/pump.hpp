// One turn of one handle: the spine that a message follows. Read pump.cpp first.
//
// Called by the reactor (D2); calls D3, D4, D5-D8, D9 in a row. The reactor's thread only.
// Invariants: I1 what a turn takes is bounded by its budget. I2 chunks go back to the ring in order and only after their callbacks. I3 a
// notice that an event caused is delivered before the next event. I4 after the handle has ended no callback of it runs from here.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include <cpgring/event.hpp>
#include <cpgring/handle.hpp>

#include "cpg/awaited.hpp"
#include "cpg/codec.hpp"
#include "dispatch/descriptor.hpp"
#include "dispatch/feed.hpp"
#include "dispatch/lease_keeper.hpp"
#include "dispatch/lessor.hpp"
#include "dispatch/release_count.hpp"
#include "dispatch/release_window.hpp"
#include "dispatch/worker.hpp"
#include "ipc/ring_reader.hpp"
#include "reactor/source.hpp"

namespace cpgring::ipc {
class connection;
}

namespace cpgring::runtime {

class endpoint;

class pump final : public reactor::source, public dispatch::worker_target {
 public:
  pump(endpoint& owner, std::size_t retained_bytes_max, base::nanoseconds lease_age_max)
      : worker_target(&run_items), owner_(owner), leases_(retained_bytes_max, lease_age_max) {}

  reactor::turn_result turn(const reactor::turn_budget& budget) override;
  [[nodiscard]] bool waiting() const noexcept override;
  void hung_up() override;

  // --- with workers that are behind: pump_overload.cpp -------------------------------------------------------------------------
  struct ring_look {  // what was found when the ring was last looked at
    std::uint32_t used = 0, used_max = 0;
    base::nanoseconds oldest_age{0};
    std::uint64_t overloads = 0;
  };
  [[nodiscard]] const ring_look& last_look() const noexcept { return ring_look_; }
  [[nodiscard]] std::size_t copies_open() const noexcept { return copies_open_; }
  [[nodiscard]] std::uint64_t copied_out() const noexcept { return copied_out_ + leases_.copied(); }
  [[nodiscard]] std::uint64_t copied_out_bytes() const noexcept { return copied_out_bytes_ + leases_.copied_bytes(); }
  /// Nothing can be handed over, or workers hold much of the ring: it is looked at in intervals. Half of a megabyte comes at 250 MB/s.
  [[nodiscard]] bool stuck() const noexcept { return stuck_; }
  static constexpr base::nanoseconds look_interval = std::chrono::milliseconds(2);
  /// Workers have chunks of the ring, or had: when it is looked after what they are done with, if no event brings a turn before. Otherwise
  /// an event too large for the rest of the ring would wait in the service for room, and we for that event.
  [[nodiscard]] std::optional<base::time_point> return_due() const noexcept { return return_due_; }
  static constexpr base::nanoseconds return_interval = std::chrono::milliseconds(20);
  /// There are figures about that, or leases; else no cache line of theirs need be touched.
  [[nodiscard]] bool keeps_books() const noexcept { return keeps_books_; }
  void keep_books() noexcept { keeps_books_ = true; }
  /// The time for that, or for leases, has come.
  void look_again();
  /// The connection goes: what waits in copies goes too.
  void drop_copies();

  // --- leases that outlive their callbacks: pump_leases.cpp --------------------------------------------------------------------
  [[nodiscard]] const dispatch::lease_keeper& leases() const noexcept { return leases_; }
  /// Their time has come.
  void tend_leases();
  /// The connection goes; what is pinned keeps it mapped.
  void let_go_of_leases(std::unique_ptr<ipc::connection> connection);
  /// After the end: takes everything off the ring, unheard. False: nonsense is in it.
  bool discard_events();

  // --- with workers: pump_workers.cpp ------------------------------------------------------------------------------------------
  void take_receipt(dispatch::receipt& one);
  /// Nothing of this handle is with a worker.
  [[nodiscard]] bool alone() const noexcept { return messages_open_ == 0 && !errand_running_; }
  [[nodiscard]] bool idle() const noexcept { return alone() && errands_.empty(); }
  /// Turns the session's notices into errands.
  void collect_notices();
  /// Nobody hears of events any more; whoever waits for an answer still does.
  void forget_callbacks() noexcept {
    std::erase_if(errands_, [](const call& one) { return !one.settles; });
  }
  /// The workers have ended: what they had is as good as done.
  void forget_workers() noexcept {
    errands_.clear();
    messages_open_ = 0;
    errand_running_ = false;
  }
  void let_go_of_held();
  void room_again();
  /// Where turns no longer come: sends the next errand once the handle is alone.
  void send_last_errands();

 private:
  struct turn_state;
  struct taken {  // an event taken off the ring: leased, or copied
    ipc::frame frame;
    std::uint64_t lease = 0;
    std::byte* copy = nullptr;  // the frame lies in it
  };
  enum class step { more, empty, ended };

  bool prepare(turn_state& t);
  step lease_batch(turn_state& t);
  bool work_batch(turn_state& t);
  bool rare_event(turn_state& t);
  cpg::awaited* own_message_back(std::size_t bytes, std::uint64_t sequence);
  void own_piece_back(const cpg::fragment& piece, bool whole);
  bool show(turn_state& t, const view* v, bool may_hold);
  bool show_held(turn_state& t);
  bool run_notices(turn_state& t);
  bool run_answers(turn_state& t);
  [[nodiscard]] bool answers_due(const turn_state& t);
  void take_answers(turn_state& t, std::size_t most);
  [[nodiscard]] bool answers_wait(const reactor::turn_budget& budget) const noexcept;
  void finish(turn_state& t);
  void keep_leases(turn_state& t, dispatch::lessor& lessor, std::uint32_t ahead);
  std::uint32_t may_reclaim(std::uint32_t finished) noexcept;
  void freed(std::uint64_t chunk);
  void discard();
  void begin_pass(std::uint64_t pass) noexcept;

  reactor::turn_result turn_on_workers(const reactor::turn_budget& budget);
  bool step_on_workers(turn_state& t);
  bool hand_messages(turn_state& t);
  bool hand(turn_state& t, std::uint32_t worker, const dispatch::work_item& item);
  [[nodiscard]] std::uint32_t worker_for(const dispatch::work_item& item);
  void pass_fence(turn_state& t);
  void merge_views(turn_state& t);
  std::uint32_t send_errand(std::uint32_t most);
  struct obstacle {
    bool there = false;
    std::optional<std::uint32_t> full;  // the worker whose queue it is; else callbacks of this handle have to end first
  };
  [[nodiscard]] obstacle in_the_way() const;
  void wait_for_room(std::uint32_t worker);
  void finish_on_workers(turn_state& t);
  [[nodiscard]] bool events_wait(const ipc::ring_reader& ring) const noexcept {
    return ring.ready() != 0 || ring.waiting() != 0 || (keeps_books_ && !spill_.empty());
  }
  bool take_event(ipc::ring_reader& ring, taken& one);
  void done_with(const taken& one);
  bool poke_if_drained(ipc::ring_reader& ring);

  void look_at_ring();
  [[nodiscard]] base::nanoseconds nothing_returned_for() const noexcept;
  [[nodiscard]] bool stays_crowded() const noexcept;
  void relieve();
  void copy_out();
  std::byte* copy_of(const std::byte* bytes, std::size_t size);
  void give_copy(std::byte* copy, std::uint32_t capacity);
  void copy_item(dispatch::work_item& item);
  void copy_event(taken& one);
  void reclaim_done(ipc::ring_reader& ring);
  void await_receipts(bool yes);
  void mind_returns();
  static std::uint32_t run_items(worker_target& self, dispatch::feed& from, std::uint32_t first, std::uint32_t count);

  endpoint& owner_;
  std::uint64_t sequence_ = 0;
  std::uint64_t pass_ = 0;        // the pass that pass_left_ belongs to
  std::uint32_t pass_left_ = 0;   // ring events that waited when it began and are still to be taken
  std::size_t answers_left_ = 0;  // the same of answers; not known before they have been looked for in that pass
  bool answers_left_known_ = false;
  bool answers_went_first_ = false;  // the last time: then it is the messages' turn, else whoever asks and asks would keep them waiting
  bool hung_up_ = false;
  bool stuck_ = false;
  bool view_held_ = false;       // within a turn, inline: the session's current view has not been shown
  bool keeps_books_ = false;     // of leases and of the ring's use: with workers, and from the first lease on
  std::uint64_t finished_ = 0;   // chunks whose callbacks have run, inline
  std::uint64_t reclaimed_ = 0;  // of these, given back: all but for leases
  dispatch::lease_keeper leases_;

  // With workers.
  struct held {  // leased, but its worker's queue was full
    std::uint32_t worker;
    dispatch::work_item item;
  };
  dispatch::release_window window_;
  struct call {  // of the user's
    std::function<void()> run;
    bool settles = false;  // a completion: owed, whatever becomes of the handle
  };
  std::deque<call> errands_;
  std::optional<taken> fence_;  // a rare event that waits until the handle is alone
  std::optional<held> held_;
  std::uint64_t messages_open_ = 0;  // handed over, no receipt yet
  bool errand_running_ = false;
  bool paused_ = false;
  bool waits_for_room_ = false;
  bool awaits_receipts_ = false;

  // With workers that are behind: pump_overload.cpp.
  std::deque<taken> spill_;  // behind fence_ and held_, ahead of the ring
  std::size_t copies_open_ = 0;
  std::optional<base::time_point> return_due_;
  std::uint64_t copies_with_workers_ = 0;  // of messages_open_
  std::uint64_t uncopyable_ = 0;           // of messages_open_, as was found when it was last tried
  std::uint64_t copied_out_ = 0, copied_out_bytes_ = 0;
  ring_look ring_look_;
  base::time_point moved_;                      // when something last went back to the ring, or the first of what is out left it
  std::optional<base::time_point> half_since_;  // so long half of the ring has been in use, and workers or leases were why
  bool warned_ = false;
};

}  // namespace cpgring::runtime
