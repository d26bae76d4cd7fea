#!/usr/bin/env bash
# A real Slurm on this machine: one node that runs jobs, and one that only exists on paper, for the tests.
#   cluster.sh up DIR [accounting]   install what is missing (Debian, root), start munge, slurmctld, slurmd
#                                    (with accounting also MariaDB and slurmdbd); state, logs and process ids below DIR
#   cluster.sh down DIR              end what `up` started, by process id
# Neither systemd nor cgroups are needed, so limits of memory are scheduled but not enforced. The node claims two GPUs
# that have no device behind them: enough to see what a job asks for. The node on paper has none.
set -euo pipefail
action=$1 dir=$(mkdir -p "$2" && cd "$2" && pwd) accounting=${3:-}
host=$(hostname -s)
configuration=/etc/slurm # nowhere else: Snakemake's executor takes SLURM_CONF out of its jobs' environment

fail() {
  echo "cluster.sh: $1" >&2
  exit 1
}

# until_works SECONDS COMMAND...: tries the command ten times a second.
until_works() {
  local tries=$(($1 * 10))
  shift
  while ! "$@" >/dev/null 2>&1; do
    ((tries-- > 0)) || fail "gave up on: $*"
    sleep 0.1
  done
}

install_packages() {
  local wanted=(slurm-wlm munge) log=$dir/apt.log
  [ -z "$accounting" ] || wanted+=(slurmdbd mariadb-server)
  dpkg -s "${wanted[@]}" >/dev/null 2>&1 && return
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}"; } \
    >"$log" 2>&1 || fail "cannot install ${wanted[*]}: $(tail -n 1 "$log")"
}

write_configuration() {
  local cpus memory
  cpus=$(nproc --all) memory=$(awk '/^MemTotal/ {print int($2 / 1100)}' /proc/meminfo)
  mkdir -p "$configuration" "$dir"/{state,spool,log,pid}
  cat >"$configuration/slurm.conf" <<CONF
ClusterName=kbench
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
SlurmctldPidFile=$dir/pid/slurmctld
SlurmdPidFile=$dir/pid/slurmd
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,requeue_delay=1
DefMemPerCPU=500
KillWait=15
MinJobAge=300
ReturnToService=2
AccountingStorageType=accounting_storage/none
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 Sockets=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=$memory Gres=gpu:2
NodeName=paper NodeAddr=127.0.0.9 Sockets=1 CoresPerSocket=64 ThreadsPerCore=1 RealMemory=8000 State=DOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE
PartitionName=paper Nodes=paper
CONF
  [ -z "$accounting" ] || sed -i -e 's|^\(AccountingStorageType\)=.*|\1=accounting_storage/slurmdbd|' \
    -e '$ a AccountingStorageHost=127.0.0.1\nAccountingStorageEnforce=associations' "$configuration/slurm.conf"
  echo "NodeName=$host Name=gpu File=/dev/null,/dev/zero" >"$configuration/gres.conf"
}

start_munge() {
  [ -s /etc/munge/munge.key ] || {
    head -c 1024 /dev/urandom >/etc/munge/munge.key
    chown munge: /etc/munge/munge.key && chmod 400 /etc/munge/munge.key
  }
  install -d -o munge -g munge -m 755 /run/munge
  if ! munge -n </dev/null 2>/dev/null | unmunge >/dev/null 2>&1; then
    runuser -u munge -- /usr/sbin/munged
    until_works 10 sh -c 'munge -n </dev/null | unmunge'
    cp /run/munge/munged.pid "$dir/pid/munged"
  fi
}

start_accounting() {
  local data=$dir/mysql socket=/run/mysqld/mysqld.sock
  install -d -o mysql -g mysql -m 755 /run/mysqld "$data"
  [ -d "$data/mysql" ] || mariadb-install-db --user=mysql --datadir="$data" --skip-test-db \
    --auth-root-authentication-method=socket >"$dir/log/mariadb-install.log" 2>&1
  mariadbd --no-defaults --user=mysql --datadir="$data" --socket="$socket" --skip-networking \
    --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 >"$dir/log/mariadb.log" 2>&1 &
  echo $! >"$dir/pid/mariadbd"
  until_works 30 mariadb-admin --socket="$socket" ping
  install -m 600 /dev/stdin "$configuration/slurmdbd.conf" <<CONF
AuthType=auth/munge
DbdHost=localhost
DbdAddr=127.0.0.1
SlurmUser=root
LogFile=$dir/log/slurmdbd.log
PidFile=$dir/pid/slurmdbd
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
CONF
  slurmdbd
  until_works 30 sacctmgr -n show cluster
  sacctmgr -i add cluster kbench >/dev/null
  sacctmgr -i add account allowed cluster=kbench >/dev/null
  sacctmgr -i add user root account=allowed >/dev/null
}

up() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "installing Slurm takes root on a Debian"
  [ ! -e "$configuration/slurm.conf" ] || grep -q ClusterName=kbench "$configuration/slurm.conf" ||
    fail "this machine has a Slurm of its own: $configuration/slurm.conf is not touched"
  export PATH=$PATH:/usr/sbin
  install_packages
  write_configuration
  start_munge
  [ -z "$accounting" ] || start_accounting
  slurmctld -c
  slurmd -c
  until_works 60 sh -c "sinfo -h -n $host -o %T | grep -qx idle"
  # The controller accepts any account until it has heard from the database.
  [ -z "$accounting" ] || until_works 60 sh -c '! sbatch --test-only --account=nobodys --wrap=true'
}

running() { [ -d "/proc/$1" ] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }

down() {
  local name pid tries
  for name in slurmd slurmctld slurmdbd mariadbd munged; do
    [ -s "$dir/pid/$name" ] || continue
    pid=$(cat "$dir/pid/$name") tries=200
    kill "$pid" 2>/dev/null || true
    while running "$pid" && ((tries-- > 0)); do sleep 0.1; done
    ! running "$pid" || fail "$name (process $pid) does not end"
    rm -f "$dir/pid/$name"
  done
  rm -f "$configuration"/{slurm,gres,slurmdbd}.conf
}

case $action in
up | down) "$action" ;;
*) fail "unknown action '$action'; legal: up, down" ;;
esac
