// What a session has to tell besides events: as callbacks in a turn, as tasks of the engine where there will be no turn, or as calls for a
// worker.
#include <utility>

#include "runtime/crew.hpp"
#include "runtime/endpoint.hpp"
#include "runtime/engine_core.hpp"

namespace cpgring::runtime {

bool endpoint::heard(cpg::notice::kind what) const noexcept {
  switch (what) {
    case cpg::notice::kind::state: return calls_.on_state != nullptr;
    case cpg::notice::kind::settled: return true;
    case cpg::notice::kind::writable: return calls_.on_writable != nullptr;
    case cpg::notice::kind::aborted: return calls_.on_aborted != nullptr;
    case cpg::notice::kind::restored: return calls_.on_restored != nullptr;
  }
  return false;
}

bool endpoint::deliver_notice(const cpg::notice& one) {
  if (one.what == cpg::notice::kind::state || one.what == cpg::notice::kind::settled) {
    publish();  // whoever hears of the new state finds it, on any thread
  }
  if (!heard(one.what)) {
    return false;
  }
  handle me = self();
  switch (one.what) {
    case cpg::notice::kind::state: {
      state_change change{one.from, one.to, one.cause ? &*one.cause : nullptr};
      run([&] { calls_.on_state(me, change); });
      return true;
    }
    case cpg::notice::kind::settled: run(one.settle); return true;
    case cpg::notice::kind::writable: run([&] { calls_.on_writable(me); }); return true;
    case cpg::notice::kind::restored: {
      const restoration what = describe_restoration();
      run([&] { calls_.on_restored(me, what); });
      return true;
    }
    case cpg::notice::kind::aborted: {
      const auto& a = *one.aborted;
      aborted_message told{a.node, a.pid, a.received, a.announced, &a.cause};
      run([&] { calls_.on_aborted(me, told); });
      return true;
    }
  }
  return false;
}

void endpoint::notice_aborted(cpg::fragment_assembler::aborted one) {
  face_->aborted_.add();
  cpg::notice n;
  n.what = cpg::notice::kind::aborted;
  n.aborted = std::move(one);
  session_.notices.push_back(std::move(n));
}

/// The pump will not run them (not connected, or ended): they become tasks of the engine.
void endpoint::hand_over_notices() {
  if (core_->workers() != nullptr) {
    pump_.collect_notices();
    if (!pump_.idle()) {
      core_->await_end_of(*this);
      core_->add_task(id_, [me = shared_from_this()] { me->pump_.send_last_errands(); });
    }
    return;
  }
  while (!session_.notices.empty()) {
    cpg::notice one = std::move(session_.notices.front());
    session_.notices.pop_front();
    if (heard(one.what)) {
      core_->add_task(id_, [me = shared_from_this(), one = std::move(one)] { me->deliver_notice(one); });
    }
  }
}

std::function<void()> endpoint::call_for(cpg::notice one) {
  if (!heard(one.what)) {
    return {};
  }
  const auto keep = shared_from_this();
  switch (one.what) {
    case cpg::notice::kind::state:
      return [keep, one = std::move(one)] {
        handle me = keep->self();
        keep->calls_.on_state(me, {one.from, one.to, one.cause ? &*one.cause : nullptr});
      };
    case cpg::notice::kind::settled: return std::move(one.settle);
    case cpg::notice::kind::writable:
      return [keep] {
        handle me = keep->self();
        keep->calls_.on_writable(me);
      };
    case cpg::notice::kind::restored:
      return [keep, what = describe_restoration()] {
        handle me = keep->self();
        keep->calls_.on_restored(me, what);
      };
    case cpg::notice::kind::aborted:
      return [keep, a = std::move(*one.aborted)] {
        handle me = keep->self();
        keep->calls_.on_aborted(me, {a.node, a.pid, a.received, a.announced, &a.cause});
      };
  }
  return {};
}

}  // namespace cpgring::runtime
