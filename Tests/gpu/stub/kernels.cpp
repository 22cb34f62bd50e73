// Modules of PTX, of which the names of kernels are read, and the kernels' emulation.
#include "stub.h"

#include "graddb_device.h"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <unistd.h>

static size_t argument_bytes(const std::string &kernel) {
    if (kernel.rfind("gd_score_", 0) == 0) return sizeof(gd_score_args);
    if (kernel.rfind("gd_select_", 0) == 0) return sizeof(gd_select_args);
    if (kernel.rfind("gd_estimate_", 0) == 0) return sizeof(gd_estimate_args);
    if (kernel.rfind("gd_rescore_", 0) == 0) return sizeof(gd_rescore_args);
    if (kernel == "gd_halves") return sizeof(gd_halves_args);
    if (kernel == "gd_pack") return sizeof(gd_pack_args);
    if (kernel == "gd_norms") return sizeof(gd_norms_args);
    if (kernel == "gd_cosines") return sizeof(gd_cosines_args);
    if (kernel == "gd_multiply_int8") return sizeof(gd_multiply_args);
    return sizeof(gd_stream_args);
}

std::unique_ptr<Module> parse_module(Device *device, const char *image, std::string &error) {
    auto module = std::make_unique<Module>();
    module->device = device;
    const std::string text = image ? image : "";
    if (text.find(".version ") == std::string::npos || text.find(".target ") == std::string::npos) {
        error = "ptxas fatal : this is no PTX: there is no .version, or no .target";
        return nullptr;
    }
    const std::string entry = ".entry ";
    for (size_t at = text.find(entry); at != std::string::npos; at = text.find(entry, at)) {
        at += entry.size();
        const std::string name = text.substr(at, text.find_first_of(" (\n", at) - at);
        module->functions[name] = {device, name, argument_bytes(name)};
    }
    if (module->functions.empty()) {
        error = "ptxas fatal : there is no .entry";
        return nullptr;
    }
    return module;
}

using Emulate = int (*)(const char *, uint32_t, uint32_t, const void *);

static Emulate emulator() {
    static const Emulate emulate = [] {
        void *library = dlopen(settings().kernels.c_str(), RTLD_NOW | RTLD_LOCAL);
        void *symbol = library ? dlsym(library, "gd_emulate") : nullptr;
        if (!symbol) {
            say("no kernels: %s", dlerror());
            abort();
        }
        return reinterpret_cast<Emulate>(symbol);
    }();
    return emulate;
}

// What the thread is running, for the message if that leaves its memory.
static thread_local const char *running = nullptr;
static struct sigaction action_before;

static void fault(int signal, siginfo_t *info, void *context) {
    if (running) {
        say("the kernel %s touched memory at %p that is not allocated", running, info->si_addr);
        abort();
    }
    if (action_before.sa_flags & SA_SIGINFO) action_before.sa_sigaction(signal, info, context);
    else if (action_before.sa_handler != SIG_DFL && action_before.sa_handler != SIG_IGN)
        action_before.sa_handler(signal);
    else {
        ::signal(signal, SIG_DFL);
        raise(signal);
    }
}

Result run_kernel(const Function &function, uint32_t x, uint32_t y, const std::vector<char> &arguments) {
    // One kernel at a time: the emulator may have state of its own.
    static std::mutex mutex;
    std::lock_guard<std::mutex> lock(mutex);
    static const bool is_watching = [] {
        struct sigaction action = {};
        action.sa_sigaction = fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        return sigaction(SIGSEGV, &action, &action_before) == 0;
    }();
    (void)is_watching;
    running = function.name.c_str();
    const int code = emulator()(function.name.c_str(), x, y, arguments.data());
    running = nullptr;
    if (code == 0) return OK;
    say("the kernel %s gives %d", function.name.c_str(), code);
    return LAUNCH_FAILED;
}
