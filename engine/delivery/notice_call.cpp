#include "delivery/notice_call.hpp"

namespace cpgring::delivery {
namespace {

/// The callback of each kind of notice, with its arguments. Returns whether the user has set it; without a
/// handle it is not called.
struct reporter {
  const callbacks& calls;
  handle* self;
  restoration back;

  bool operator()(const cpg::completed& what) const {
    if (self != nullptr) {
      what.run();
    }
    return true;
  }
  bool operator()(const cpg::state_changed& what) const {
    return report(calls.on_state, state_change{what.from, what.to, what.cause ? &*what.cause : nullptr});
  }
  bool operator()(const cpg::writable&) const { return report(calls.on_writable); }
  bool operator()(const cpg::restored&) const { return report(calls.on_restored, back); }
  bool operator()(const cpg::aborted& what) const {
    return report(calls.on_aborted,
                  aborted_message{what.node, what.pid, what.received, what.announced, &what.cause});
  }

 private:
  template <class Callback, class... Arguments>
  bool report(const Callback& callback, const Arguments&... arguments) const {
    if (callback && self != nullptr) {
      callback(*self, arguments...);
    }
    return callback != nullptr;
  }
};

}  // namespace

bool has_callback(const callbacks& calls, const cpg::notice& what) noexcept {
  return std::visit(reporter{calls, nullptr, {}}, what);
}

void notice_call::operator()() { std::visit(reporter{*calls, &self, back}, what); }

}  // namespace cpgring::delivery
