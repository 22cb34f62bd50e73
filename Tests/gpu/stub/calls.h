// What every call of the driver begins with.
#pragma once

#include "stub.h"

// Writes the call to the log; gives the code that it was told to fail with, or 0.
Result begin(const char *function, const std::string &about = "");
// The device whose context the calling thread has pushed last, if it can still be used.
Result current(Device *&device);
// What comes before every call for a device: `begin`, then `current`.
Result enter(const char *function, Device *&device, const std::string &about = "");
