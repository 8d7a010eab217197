#include "checker/checker.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

namespace cpgring::checker {
namespace {

constexpr std::size_t told_of_each_max = 20;

struct hash {
  std::size_t operator()(const message_id& m) const noexcept {
    return std::hash<std::uint64_t>()(m.sender * 0x9e3779b97f4a7c15U + m.sequence);
  }
};

bool is_in(const event& view, const address& who) {
  return std::find(view.members.begin(), view.members.end(), who) != view.members.end();
}

std::string name(const message_id& m) { return fmt::format("{}/{}", m.sender, m.sequence); }

class judge {
 public:
  explicit judge(const std::vector<history>& processes) : processes_(processes) {
    for (const history& p : processes_) {
      for (const event& e : p.events) {
        if (e.what == event::kind::sent) {
          sent_by_.try_emplace(e.id.sender, p.self);
          auto& next = sent_[e.id.sender];
          next = std::max(next, e.id.sequence + 1);
        } else if (e.what == event::kind::unsent) {
          unsent_.insert(e.id);
        }
      }
    }
  }

  verdict run() {
    for (const history& p : processes_) {
      alone(p);
      holes(p);
    }
    for (std::size_t a = 0; a < processes_.size(); ++a) {
      for (std::size_t b = a + 1; b < processes_.size(); ++b) {
        order(processes_[a], processes_[b]);
        together(processes_[a], processes_[b]);
      }
    }
    return std::move(found_);
  }

 private:
  void complain(const char* promise, std::string text) {
    if (++told_[promise] > told_of_each_max) {
      ++found_.more;
    } else {
      found_.violations.push_back({promise, std::move(text)});
    }
  }

  /// Checks one history by itself.
  void alone(const history& p) {
    std::unordered_set<message_id, hash> delivered, known;
    bool away = false;
    for (const event& e : p.events) {
      switch (e.what) {
        case event::kind::message: {
          ++found_.messages;
          if (away) {
            complain("membership", fmt::format("{} delivered {} after it had left", p.process, name(e.id)));
          }
          const auto sender = sent_.find(e.id.sender);
          if (sender == sent_.end() || e.id.sequence >= sender->second) {
            complain("no creation", fmt::format("{} delivered {}, which nobody sent", p.process, name(e.id)));
          }
          if (unsent_.contains(e.id)) {
            complain("no creation",
                     fmt::format("{} delivered {}, which was reported as not sent", p.process, name(e.id)));
          }
          if (!delivered.insert(e.id).second) {
            complain("no duplicates", fmt::format("{} delivered {} twice", p.process, name(e.id)));
          }
          break;
        }
        case event::kind::known: known.insert(e.id); break;
        case event::kind::view:
          ++found_.views;
          away = !is_in(e, p.self);
          break;
        case event::kind::gap: away = false; break;
        default: break;
      }
    }
    for (const message_id& m : known) {
      if (!delivered.contains(m)) {
        complain("self-delivery",
                 fmt::format("{} got a confirmation of {}, but did not deliver it", p.process, name(m)));
      }
    }
  }

  void holes(const history& p) {
    std::unordered_map<life, std::uint64_t> next;
    for (const event& e : p.events) {
      if (e.what == event::kind::gap) {
        next.clear();
      } else if (e.what == event::kind::view) {
        if (!is_in(e, p.self)) {
          next.clear();  // this process left: it does not get what is sent until it returns
        }
        // A sender that left may return, with messages between that this process does not get.
        std::erase_if(next, [&](const auto& one) {
          const auto by = sent_by_.find(one.first);
          return by != sent_by_.end() && std::find(e.left.begin(), e.left.end(), by->second) != e.left.end();
        });
      } else if (e.what == event::kind::message) {
        const auto [at, first] = next.try_emplace(e.id.sender, e.id.sequence);
        while (at->second < e.id.sequence && unsent_.contains({e.id.sender, at->second})) {
          ++at->second;
        }
        if (e.id.sequence > at->second) {
          complain("no holes",
                   fmt::format("{} delivered {} instead of {}/{}, and no view or gap explains that",
                               p.process, name(e.id), e.id.sender, at->second));
        }
        at->second = std::max(at->second, e.id.sequence + 1);
        static_cast<void>(first);
      }
    }
  }

  void order(const history& a, const history& b) {
    std::unordered_map<message_id, std::size_t, hash> at;
    for (std::size_t i = 0; i < b.events.size(); ++i) {
      if (b.events[i].what == event::kind::message) {
        at.try_emplace(b.events[i].id, i);
      }
    }
    std::optional<std::pair<std::size_t, message_id>> last;
    std::unordered_set<message_id, hash> seen;
    for (const event& e : a.events) {
      if (e.what != event::kind::message) {
        continue;
      }
      const auto found = at.find(e.id);
      if (found == at.end() || !seen.insert(e.id).second) {
        continue;
      }
      ++found_.orders_compared;
      if (last && found->second < last->first) {
        complain("total order", fmt::format("{} delivered {} before {}, {} after it", a.process,
                                            name(last->second), name(e.id), b.process));
      }
      last = {found->second, e.id};
    }
  }

  /// The messages of one process between one view and the next; the last step may have no end.
  struct step {
    const event *before, *after;
    std::vector<message_id> between;
  };

  /// The steps between views in which both processes are members.
  static std::vector<step> steps(const history& p, const address& other) {
    std::vector<step> all;
    const event* last = nullptr;
    std::vector<message_id> since;
    for (const event& e : p.events) {
      if (e.what == event::kind::gap) {
        last = nullptr;
      } else if (e.what == event::kind::message) {
        if (last != nullptr) {
          since.push_back(e.id);
        }
      } else if (e.what == event::kind::view) {
        const bool both = is_in(e, p.self) && is_in(e, other);
        if (last != nullptr && both) {
          all.push_back({last, &e, std::move(since)});
        }
        since = {};
        last = both ? &e : nullptr;
      }
    }
    if (last != nullptr) {
      all.push_back({last, nullptr, std::move(since)});
    }
    return all;
  }

  static bool same_view(const event& x, const event& y) {
    return x.ring == y.ring && x.ring != 0 && x.members == y.members && x.joined == y.joined &&
           x.left == y.left;
  }
  static bool went_together(const step& x, const step& y) {
    return same_view(*x.before, *y.before) && x.after != nullptr && y.after != nullptr &&
           same_view(*x.after, *y.after);
  }

  void together(const history& a, const history& b) {
    const auto of_a = steps(a, b.self), of_b = steps(b, a.self);
    std::unordered_map<message_id, std::size_t, hash> step_of_b;
    for (std::size_t j = 0; j < of_b.size(); ++j) {
      for (const message_id& m : of_b[j].between) {
        step_of_b.try_emplace(m, j);
      }
    }
    std::vector<bool> done(of_a.size());
    const auto compare_once = [&](std::size_t i, std::size_t j) {
      if (done[i]) {
        return false;
      }
      done[i] = true;
      compare(a, b, of_a[i], of_b[j]);
      return true;
    };
    for (std::size_t i = 0; i < of_a.size(); ++i) {
      std::size_t seen = of_b.size();
      for (const message_id& m : of_a[i].between) {
        const auto found = step_of_b.find(m);
        if (found == step_of_b.end() || found->second == seen) {
          continue;
        }
        const std::size_t j = seen = found->second;
        if (!same_view(*of_a[i].before, *of_b[j].before)) {
          continue;
        }
        // Both were in the same view here. Compares backwards and forwards from it while the steps are
        // contiguous.
        for (std::size_t k = 1; k <= i && k <= j; ++k) {
          const step &x = of_a[i - k], &y = of_b[j - k];
          if (x.after != of_a[i - k + 1].before || y.after != of_b[j - k + 1].before ||
              !went_together(x, y) || !compare_once(i - k, j - k)) {
            break;
          }
        }
        for (std::size_t k = 0; i + k < of_a.size() && j + k < of_b.size(); ++k) {
          const step &x = of_a[i + k], &y = of_b[j + k];
          const bool follows =
              k == 0 || (x.before == of_a[i + k - 1].after && y.before == of_b[j + k - 1].after);
          if (!follows || !went_together(x, y) || !compare_once(i + k, j + k)) {
            break;
          }
        }
      }
    }
  }

  void compare(const history& a, const history& b, const step& x, const step& y) {
    ++found_.steps_compared;
    const auto &mine = x.between, &theirs = y.between;
    if (mine == theirs) {
      return;
    }
    const auto at = std::mismatch(mine.begin(), mine.end(), theirs.begin(), theirs.end());
    const auto numbered = [](const history& of, const event* view) {
      return std::count_if(of.events.data(), view,
                           [](const event& e) { return e.what == event::kind::view; }) +
             1;
    };
    complain("virtual synchrony",
             fmt::format("{} and {} went together from view {} and {} to the next of ring {}, with {} and "
                         "{} messages between; the first "
                         "difference is {} here, {} there",
                         a.process, b.process, numbered(a, x.before), numbered(b, y.before), x.after->ring,
                         mine.size(), theirs.size(), at.first == mine.end() ? "none" : name(*at.first),
                         at.second == theirs.end() ? "none" : name(*at.second)));
  }

  const std::vector<history>& processes_;
  std::map<life, std::uint64_t> sent_;  // number of sent messages
  std::map<life, address> sent_by_;
  std::unordered_set<message_id, hash> unsent_;
  std::map<std::string, std::size_t> told_;
  verdict found_;
};

}  // namespace

std::string verdict::text() const {
  std::string all = fmt::format("{} messages, {} views; {} orders and {} steps between views compared\n",
                                messages, views, orders_compared, steps_compared);
  for (const violation& v : violations) {
    all += fmt::format("{}: {}\n", v.promise, v.text);
  }
  if (more != 0) {
    all += fmt::format("and {} more\n", more);
  }
  return all;
}

verdict check(const std::vector<history>& processes) { return judge(processes).run(); }

}  // namespace cpgring::checker
