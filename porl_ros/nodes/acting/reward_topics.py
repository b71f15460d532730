"""Rewards and ends of episodes from topics, where the robot config says so."""

from std_msgs.msg import Bool, Float64

from porl_ros.nodes import messages
from porl_ros.nodes.acting.judges import ByTopic
from porl_ros.nodes.base import PorlNode
from porl_ros.nodes.throttle import Throttle
from porl_ros.robot.config_reward import TopicReward


def listen_for_rewards(node: PorlNode, config: TopicReward, judge: ByTopic) -> None:
    """Tell the judge what comes; executor's thread."""
    refusals = Throttle(5.0)

    def on_done(message: Bool) -> None:
        if message.data:  # a false one says nothing
            judge.say_done()

    def on_reward(message: Float64) -> None:
        refusal = judge.say_reward(message.data)
        if refusal and refusals.due("reward"):
            node.get_logger().error(f"{refusal}; ignored")

    quality = messages.qos(reliable=False, depth=100)  # hears every publisher
    node.create_subscription(Bool, config.done, on_done, quality)
    if config.reward:
        node.create_subscription(Float64, config.reward, on_reward, quality)
