#!/bin/bash
# Entry point of a pod: `driver ARGUMENTS OF spark-submit`, or `executor`, which is configured by environment variables.
set -euo pipefail
case "${1:-}" in
    driver)
        shift
        exec tini -s -- "$0" stoppable "$SPARK_HOME/bin/spark-submit" --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
            --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" --deploy-mode client "$@"
        ;;
    stoppable)
        # A deleted pod gets SIGTERM, and SIGKILL 30 s later. Signal Python first: it writes the run's record, for which it may
        # need Java, and Java ends with it.
        shift
        code=0 told='' last=127
        trap 'told=yes; pkill -TERM -P "$!" ^python || kill -TERM "$!"' TERM
        "$@" &
        wait "$!" || code=$?
        while [ -n "$told" ]; do  # a signal ends only the wait, and its code is not that of the command
            told='' last=$code code=0
            wait "$!" || code=$?
        done
        [ "$code" != 127 ] || code=$last  # it had ended, and been waited for, before the signal
        exit "$code"
        ;;
    executor)
        # SPARK_JAVA_OPT_0, SPARK_JAVA_OPT_1, ...: one option each, in this order.
        options=()
        for name in $(compgen -v SPARK_JAVA_OPT_ | sort -t _ -k 4 -n); do options+=("${!name}"); done
        exec tini -s -- java ${options[@]+"${options[@]}"} "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
            -cp "${SPARK_CONF_DIR:+$SPARK_CONF_DIR:}${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}$SPARK_HOME/jars/*" \
            org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
            --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
            --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
            --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
        ;;
    *) exec "$@" ;;     # a shell, or irbis itself
esac
