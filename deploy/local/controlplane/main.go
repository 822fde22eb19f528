// One binary for the control plane on one machine: the first argument picks the role.
package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// tetherEnv names a file descriptor: the read end of a pipe whose write end only the parent holds.
const tetherEnv = "STOWPLAN_TETHER_FD"

var commands = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": func() *cobra.Command { return controllers.NewControllerManagerCommand() },
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubectl":                 func() *cobra.Command { return kubectl.NewDefaultKubectlCommand() },
}

func main() {
	if len(os.Args) < 2 {
		fail("usage: controlplane etcd|kube-apiserver|kube-controller-manager|kube-scheduler|kubectl [FLAG...]")
	}
	tether()
	role := os.Args[1]
	os.Args = os.Args[1:]
	if role == "etcd" {
		etcdmain.Main(os.Args)
		return
	}
	command, known := commands[role]
	if !known {
		fail(fmt.Sprintf("controlplane: no role %q", role))
	}
	os.Exit(cli.Run(command()))
}

// tether ends this process when its parent is gone, however that ended: the kernel then closes the pipe.
// PR_SET_PDEATHSIG would not do: it fires when the parent's starting thread ends, not its process.
func tether() {
	text, set := os.LookupEnv(tetherEnv)
	if !set {
		return
	}
	fd, err := strconv.Atoi(text)
	if err != nil {
		fail(fmt.Sprintf("controlplane: %s is %q, want a file descriptor", tetherEnv, text))
	}
	os.Unsetenv(tetherEnv)
	syscall.CloseOnExec(fd)
	pipe := os.NewFile(uintptr(fd), "tether")
	go func() {
		pipe.Read(make([]byte, 1))
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}()
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(2)
}
