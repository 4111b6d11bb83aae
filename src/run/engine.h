// Engine: the threads and the memory that everything running in a process shares.
// Thread safety: one thread drives it.
#pragma once

#include "tensor/ctx.h"

namespace stemma {

class Engine {
 public:
  explicit Engine(int threads = 0) : team_(threads) {}
  Ctx ctx() {
    Ctx c;
    c.team = &team_;
    c.pool = &pool_;
    return c;
  }
  Team& team() { return team_; }
  Pool& pool() { return pool_; }

 private:
  Team team_;
  Pool pool_;
};

}  // namespace stemma
